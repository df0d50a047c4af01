"""The rows of a dataset's tables in its archive: found once, read one by one, so that millions need little memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from gleanset.client.archive import Archive, Member
from gleanset.client.coming import Coming
from gleanset.client.folders import Folder
from gleanset.client.tables import tables_of
from gleanset.errors import DatasetError

_BEFORE_IN_ZIP = 512
"""More than there is; what is still missing then is waited for when it is read."""


class Rows:
    """Which image is which row. `label_of` and `split_of` have for each row its place in `labels` and `splits`, -1 for
    none. `name` and `coming` are those of Archive. Raises DatasetError for an archive that is no dataset, or whose
    table is damaged.
    """

    def __init__(self, path: Path, name: str | None = None, coming: Coming | None = None) -> None:
        self.path, self.name, self._coming = path, name or path.name, coming
        self._archive = Folder(path, name) if path.is_dir() else Archive(path, name, coming)
        try:
            self._tables = tables_of(self._archive)
            self._look_through()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._archive.close()

    def __len__(self) -> int:
        return len(self.label_of)

    def row(self, number: int) -> dict[str, Any]:
        """The row as it stands in metadata.jsonl."""
        table, start, length = map(int, self._lines[number])
        row = self._tables[table].parsed(self._tables[table].read(start, length))
        assert row is not None
        return row

    def image(self, number: int) -> tuple[dict[str, Any], bytes]:
        """The row, and the image's bytes, held to their SHA-256. Raises DatasetError when they are damaged."""
        row = self.row(number)
        name = str(row["file_name"])
        at, stored, size, deflated, within = self._places[number].tolist()
        data = self._archive.read_member(name, Member(at, stored, size, bool(deflated), bool(within)))
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise DatasetError(f"{name} in {self.name} is damaged: its SHA-256 is another one.")
        return row, data

    def is_here(self, number: int) -> bool:
        """Whether the image's bytes have come."""
        return self._coming is None or self._coming.has(*self._span(number))

    def wait(self, numbers: list[int]) -> None:
        """Wait until the first of these images has come; the others come next."""
        if self._coming is not None:
            self._coming.ask(*map(self._span, numbers))
            self._coming.wait(*self._span(numbers[0]))

    def _span(self, number: int) -> tuple[int, int]:
        """Where the image's bytes begin, and how many there are, with what stands before them in a zip."""
        at, stored, *_ = self._places[number].tolist()
        return at, stored + _BEFORE_IN_ZIP

    def _look_through(self) -> None:
        """Note where each row and its image lie, and its label and split; hold the tables to the manifest."""
        lines, places = list[tuple[int, int, int]](), list[Member]()
        labels, splits = list[str](), list[str | None]()
        for number, table in enumerate(self._tables):
            for at, text in table.texts():
                row = table.parsed(text)
                if row is None:
                    continue
                if "file_name" not in row:
                    raise self._without_images()
                member = table.member(row)
                if member is None or not isinstance(row.get("sha256"), str) or "label" not in row:
                    name = row.get("file_name")
                    raise DatasetError(f"{self.name} has no image for a row of its {table.name}: {name!r}.")
                lines.append((number, at, len(text)))
                places.append(member)
                labels.append(str(row["label"]))
                splits.append(str(row.get("split") or "") or None)
        self._lines = np.array(lines, np.int64).reshape(-1, 3)
        self._places = np.array(places, np.int64).reshape(-1, len(Member._fields))
        self.labels = sorted(set(labels))
        self.splits = sorted({split for split in splits if split is not None})
        self.label_of = _numbered(labels, self.labels)
        self.split_of = _numbered(splits, self.splits)
        if not lines:
            raise self._without_images()
        self._archive.members.clear()  # the arrays know where everything is, in a tenth of the memory

    def _without_images(self) -> DatasetError:
        return DatasetError(f"{self.name} has no images that can be loaded here; csv and jsonl have none.")


def _numbered(values: list[str] | list[str | None], names: list[str]) -> Any:
    number = {name: place for place, name in enumerate(names)}
    return np.array([-1 if value is None else number[value] for value in values], np.int32)
