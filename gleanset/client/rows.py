"""The rows of a dataset's table in its archive: found once, read one by one, so that millions need little memory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from gleanset.client.archive import Archive, Member
from gleanset.errors import DatasetError

_TABLE, _MANIFEST = "metadata.jsonl", "MANIFEST.sha256"
_OF_SPLIT = re.compile(r"[^/]+/metadata\.jsonl")
_LONGEST_LINE = 16 << 20
_PIECE = 1 << 20
_LISTED = re.compile(rb"([0-9a-f]{64})  (images/([^/\n]+)/[^/\n]+)\n?")


class _Table(NamedTuple):
    """`read` gives so many bytes from a place on."""

    name: str
    size: int
    read: Callable[[int, int], bytes]

    @property
    def folder(self) -> str:
        """Where the names in its rows begin."""
        return self.name.rpartition("/")[0] + "/" if "/" in self.name else ""


class Rows:
    """Which image is which row. `label_of` and `split_of` have for each row its place in `labels` and `splits`, -1 for
    none. Raises DatasetError for an archive that is no dataset, or whose table is damaged.

    An image folder has a table for each split. Of an export without metadata the manifest is the table: it has the
    images' names, which tell the labels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive = Archive(path)
        names = sorted(name for name in self._archive.members if name == _TABLE or _OF_SPLIT.fullmatch(name))
        self._listed = not names
        try:
            self._tables = [self._opened(name) for name in names or [_MANIFEST]]
            self._look_through()
            self._check_not_empty()
        except BaseException:
            self.close()
            raise

    def _check_not_empty(self) -> None:
        if not len(self):
            what = "has no images that can be loaded here. Formats that can: zip, tar, imagefolder, yolo"
            raise DatasetError(f"{self.path.name} {what}.")

    def close(self) -> None:
        self._archive.close()

    def __len__(self) -> int:
        return len(self.label_of)

    def row(self, number: int) -> dict[str, Any]:
        """The row as it stands in metadata.jsonl."""
        table, start, length = map(int, self._lines[number])
        row = self._parsed(self._tables[table].read(start, length))
        assert row is not None
        return row

    def image(self, number: int, name: str) -> bytes:
        """The image's bytes, unchecked."""
        at, stored, size, deflated = self._places[number].tolist()
        return self._archive.read_member(name, Member(at, stored, size, bool(deflated)))

    def _opened(self, name: str) -> _Table:
        """Where the table's bytes can be read: in the archive itself, or unpacked in a file without a name."""
        member = self._archive.members.get(name)
        if member is None:
            raise DatasetError(
                f"{self.path.name} is no dataset that can be loaded here: it has neither {_TABLE} nor {_MANIFEST}."
            )
        if not member.deflated:
            return _Table(name, member.size, partial(_slice, self._archive, self._archive.start(name, member)))
        with tempfile.TemporaryFile() as unpacked:
            unpacked.write(self._archive.read(name))
            unpacked.flush()
            handle = os.dup(unpacked.fileno())
        weakref.finalize(self, os.close, handle)
        return _Table(name, member.size, partial(_pread, handle))

    def _look_through(self) -> None:
        """Note where each row and its image lie, and its label and split; hold the tables to the manifest."""
        lines, places = list[tuple[int, int, int]](), list[Member]()
        labels, splits = list[str](), list[str | None]()
        for number, table in enumerate(self._tables):
            digest, at = hashlib.sha256(), 0
            for line in self._read_lines(table, digest):
                row = self._parsed(line)
                if row is not None:
                    lines.append((number, at, len(line)))
                    places.append(self._place(row, table.folder))
                    labels.append(str(row["label"]))
                    splits.append(str(row.get("split") or "") or None)
                at += len(line)
            if not self._listed:
                self._check_manifest(table.name, digest.hexdigest())
        self._lines = np.array(lines, np.int64).reshape(-1, 3)
        self._places = np.array(places, np.int64).reshape(-1, 4)
        self.labels = sorted(set(labels))
        self.splits = sorted({split for split in splits if split is not None})
        self.label_of = _numbered(labels, self.labels)
        self.split_of = _numbered(splits, self.splits)
        self._archive.members.clear()  # the arrays know where everything is, in a tenth of the memory

    def _place(self, row: dict[str, Any], folder: str) -> Member:
        name = row.get("file_name")
        member = self._archive.members.get(folder + name) if isinstance(name, str) else None
        if member is None or not isinstance(row.get("sha256"), str) or "label" not in row:
            raise DatasetError(f"{self.path.name} has no image for a row of its {_TABLE}: {name!r}.")
        return member

    def _read_lines(self, table: _Table, digest: Any) -> Iterator[bytes]:
        at, rest = 0, b""
        while at < table.size:
            piece = table.read(at, min(_PIECE, table.size - at))
            if not piece:
                raise DatasetError(f"{self.path.name} is cut off.")
            digest.update(piece)
            at += len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line + b"\n" for line in whole)
            if len(rest) > _LONGEST_LINE:
                raise DatasetError(f"The {_TABLE} of {self.path.name} has a line without an end.")
        if rest:
            yield rest

    def _check_manifest(self, name: str, found: str) -> None:
        if _MANIFEST not in self._archive.members:
            raise DatasetError(f"{self.path.name} is no dataset of Gleanset's: it has no {_MANIFEST}.")
        if f"{found}  {name}".encode() not in self._archive.read(_MANIFEST).splitlines():
            raise DatasetError(f"The {name} of {self.path.name} is damaged: its SHA-256 is another one.")

    def _parsed(self, line: bytes) -> dict[str, Any] | None:
        """The row of this line; None for a paper in the manifest."""
        if self._listed:
            found = _LISTED.fullmatch(line)
            if found is None:
                return None
            sha256, name, label = (part.decode("utf-8", "replace") for part in found.groups())
            return {"file_name": name, "label": label, "sha256": sha256}
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DatasetError(f"A row of the {_TABLE} of {self.path.name} is damaged: {error}.") from error
        if not isinstance(row, dict):
            raise DatasetError(f"A row of the {_TABLE} of {self.path.name} is no object.")
        return cast("dict[str, Any]", row)


def _slice(archive: Archive, start: int, at: int, length: int) -> bytes:
    return archive.slice(start + at, length)


def _pread(handle: int, at: int, length: int) -> bytes:
    return os.pread(handle, length, at)


def _numbered(values: list[str] | list[str | None], names: list[str]) -> Any:
    number = {name: place for place, name in enumerate(names)}
    return np.array([-1 if value is None else number[value] for value in values], np.int32)
