"""How a dataset is laid out: where images go, and how what is known of them is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gleanset.export.base import Entry, folder_name
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_files, guide_to_plain
from gleanset.export.names import Names, Scheme
from gleanset.export.seen import Seen
from gleanset.export.tables import Csv, Jsonl, columns, row_of
from gleanset.store import EXTENSIONS

WHOLE = "train"
"""The split of a dataset that was not divided, where a layout cannot do without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """What copies become. They are upright, 8-bit RGB on white, and never enlarged.

    `shorter` and `longer`: that side becomes `width`, or stays if it is shorter. `crop` and `pad`: exactly `width` by
    `height` pixels, around the middle; the picture fills them, and edges are cut off, or it fits into them. Where it is
    too small for that, the rest is white. `quality`, 1 to 100, is that of jpeg and webp; None is 95 and 90.
    """

    mode: Literal["shorter", "longer", "crop", "pad"]
    width: int
    height: int
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a dataset is written. max_shard_bytes: where a layout has shards, about how large one becomes.

    Without `include_metadata` there are no tables beside the images, and where a layout describes each image, it says
    what the image is and what is owed for it (`gleanset.export.tables.OWED`).
    """

    include_metadata: bool = True
    rename: Scheme = "sha256"
    resize: Resize | None = None
    max_shard_bytes: int = 500_000_000


class Layout:
    """Where the images go, and how each is described. Entries come split after split, always in the same order.

    A layout holds little in memory: what grows is a text of `files`. `is_at_rest`: whether an export that is killed now
    could go on from here, with what `state` says given to `restore` and the texts as they are. `packs_images`: whether
    it wants the images' bytes at all.
    """

    is_at_rest = True
    packs_images = True

    def __init__(self, files: Files, options: Options) -> None:
        self.files, self.options = files, options

    def add(self, entry: Entry, data: bytes) -> str:
        """Write an image and what is known of it; the path by which the dataset's papers may name it."""
        raise NotImplementedError

    def row(self, entry: Entry, name: str) -> dict[str, Any]:
        """What is known of an image, as far as it was asked for."""
        return row_of(entry, name, include_metadata=self.options.include_metadata)

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

    def picture(self, folder: str, entry: Entry, data: bytes) -> str:
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
    """`images/<label>/<sha256>.<ext>`, with all that is known of them in metadata.jsonl and metadata.csv."""

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._tables = tables(files, options)

    def add(self, entry: Entry, data: bytes) -> str:
        name = self.picture("images", entry, data)
        row = self.row(entry, name)
        for table in self._tables:
            table.add(row)
        return name

    def guide(self) -> Guide:
        return guide_to_plain(include_metadata=self.options.include_metadata)


def tables(files: Files, options: Options) -> list[Jsonl | Csv]:
    """metadata.jsonl and metadata.csv beside everything; none where metadata is not wanted."""
    if not options.include_metadata:
        return []
    return [Jsonl(files, "metadata.jsonl"), Csv(files, "metadata.csv", columns(include_metadata=True))]
