"""How a dataset is laid out: where images go, and how what is known of them is written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gleanset.copying import Part
from gleanset.export.base import Entry, folder_name
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_files, guide_to_plain
from gleanset.export.names import Names, Scheme
from gleanset.export.seen import Seen
from gleanset.export.tables import Csv, Jsonl, columns, of_one_type, row_of
from gleanset.store import EXTENSIONS
from gleanset.types import Resize

WHOLE = "train"
"""The split of a dataset that was not divided, where a layout cannot do without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a dataset is written. max_shard_bytes: where a layout has shards, about how large one becomes.

    Without `include_metadata` it is only told of each image what it is, where it belongs and what is owed for it
    (`gleanset.export.tables.OWED`).
    """

    include_metadata: bool = True
    rename: Scheme = "sha256"
    resize: Resize | None = None
    max_shard_bytes: int = 500_000_000


class Layout:
    """Where the images go, and how each is described. Entries come split after split, always in the same order.

    A layout holds little in memory: what grows is a text of `files`. `is_at_rest`: whether an export that is killed now
    could go on from here, with what `state` says given to `restore` and the texts as they are. `packs_images`: whether
    it wants the images at all, `wants_bytes`: whether only as bytes, which a stored image is not. `names_files`:
    whether an image has a name in it, `has_shards`: whether they come in files that may be of some size at most.
    """

    is_at_rest = True
    packs_images = True
    wants_bytes = False
    names_files = True
    has_shards = False

    def __init__(self, files: Files, options: Options) -> None:
        self.files, self.options = files, options

    def add(self, entry: Entry, data: Part) -> str:
        """Write an image and what is known of it; the path by which the dataset's papers may name it."""
        raise NotImplementedError

    def row(self, entry: Entry, name: str) -> dict[str, Any]:
        """What is known of an image, as far as it was asked for."""
        return row_of(entry, name, include_metadata=self.options.include_metadata)

    def columns(self) -> Sequence[str]:
        """What `row` tells, in its order."""
        return columns(include_metadata=self.options.include_metadata)

    def state(self) -> dict[str, Any]:
        """What is not in a growing text, JSON-able."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there; called before anything else, and only when there was a checkpoint."""

    def settle(self) -> bool:
        """Put some of what waited for the last image into the container; False when nothing waited any more."""
        return False

    def finish(self) -> None:
        """Write what comes behind the last image; growing texts go into the container by themselves."""

    def guide(self) -> Guide:
        """For the papers, when all is written: what lies where, and how it is loaded."""
        return guide_to_files()


class Pictures(Layout):
    """A layout in which each image is a file, in a folder for its label. `folders` are those above them."""

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._names = Names(options.rename)
        self._seen = Seen(files.place, "names")
        self.folders: dict[str, None] = {}

    def picture(self, folder: str, entry: Entry, data: Part) -> str:
        """Write the image below the folder: `<folder>/<label>/<name>.<ext>`, which is returned."""
        name = f"{folder}/{folder_name(entry.label)}/{self._names.of(entry)}.{EXTENSIONS[entry.format]}"
        self.folders[folder] = None
        if self._seen.is_new(name):  # the same bytes twice under one label, when duplicates are kept
            self.files.add(name, data, entry.sha256)
        return name

    def state(self) -> dict[str, Any]:
        return {"names": self._names.state(), "folders": list(self.folders)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._names.restore(state["names"])
        self.folders = dict.fromkeys(state["folders"])


class Plain(Pictures):
    """`images/<label>/<sha256>.<ext>`, with what is known of them in metadata.jsonl and metadata.csv.

    When it is divided, `images/<split>/<label>/<sha256>.<ext>`: who takes a folder for a dataset shall not train on the
    test set. Then each split has a table of its own too, for Hugging Face, which goes by the tables.
    """

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._tables = tables(files, options)
        self._of_splits = SplitTables(files)

    def add(self, entry: Entry, data: Part) -> str:
        folder = f"images/{entry.split}" if entry.split else "images"
        name = self.picture(folder, entry, data)
        row = self.row(entry, name)
        for table in self._tables:
            table.add(row)
        if entry.split:
            self._of_splits.add(folder, row)
        return name

    def guide(self) -> Guide:
        divided = self._of_splits.folders
        return guide_to_plain(self.columns(), {folder.removeprefix("images/"): folder for folder in divided})

    def state(self) -> dict[str, Any]:
        return super().state() | {"divided": self._of_splits.folders}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._of_splits.restore(state["divided"])


class SplitTables:
    """A metadata.jsonl in each of some folders, with the paths below it.

    Hugging Face guesses the columns' types from the first rows of each and wants them to agree, so the rows are
    `of_one_type`.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._tables: dict[str, Jsonl] = {}

    def add(self, folder: str, row: Mapping[str, Any]) -> None:
        """Write the row of an image that lies in the folder."""
        name = row["file_name"].removeprefix(f"{folder}/")
        self._table(folder).add(of_one_type({**row, "file_name": name}))

    def _table(self, folder: str) -> Jsonl:
        if folder not in self._tables:
            self._tables[folder] = Jsonl(self._files, f"{folder}/metadata.jsonl")
        return self._tables[folder]

    @property
    def folders(self) -> list[str]:
        """Those that have a table."""
        return list(self._tables)

    def restore(self, folders: Iterable[str]) -> None:
        """Go on with the tables of these."""
        for folder in folders:
            self._table(folder)


def tables(files: Files, options: Options) -> list[Jsonl | Csv]:
    """metadata.jsonl and metadata.csv beside everything."""
    names = columns(include_metadata=options.include_metadata)
    return [Jsonl(files, "metadata.jsonl"), Csv(files, "metadata.csv", names)]
