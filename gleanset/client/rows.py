"""The rows of a dataset's tables in its archive: found once, read one by one, so that millions need little memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gleanset.client.archive import Archive, Member
from gleanset.client.folders import Folder
from gleanset.client.tables import tables_of
from gleanset.errors import DatasetError


class Rows:
    """Which image is which row. `label_of` and `split_of` have for each row its place in `labels` and `splits`, -1 for
    none. Raises DatasetError for an archive that is no dataset, or whose table is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive = Folder(path) if path.is_dir() else Archive(path)
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

    def image(self, number: int, name: str) -> bytes:
        """The image's bytes, unchecked."""
        at, stored, size, deflated, within = self._places[number].tolist()
        return self._archive.read_member(name, Member(at, stored, size, bool(deflated), bool(within)))

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
                    raise DatasetError(f"{self.path.name} has no image for a row of its {table.name}: {name!r}.")
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
        return DatasetError(f"{self.path.name} has no images that can be loaded here; csv and jsonl have none.")


def _numbered(values: list[str] | list[str | None], names: list[str]) -> Any:
    number = {name: place for place, name in enumerate(names)}
    return np.array([-1 if value is None else number[value] for value in values], np.int32)
