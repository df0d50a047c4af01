"""Where a dataset says what its images are, in each layout: the texts of its rows, and the file that each is about."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from io import BufferedReader
from typing import Any, Protocol, cast

from gleanset.client.archive import BROKEN, Archive, Member, tar_members
from gleanset.client.parquet_table import ParquetTable
from gleanset.client.windows import Window
from gleanset.errors import DatasetError

TABLE, MANIFEST = "metadata.jsonl", "MANIFEST.sha256"
_OF_SPLIT = re.compile(rf"[^/]+/{re.escape(TABLE)}")
_OF_COCO = re.compile(r"annotations/instances_([^/]+)\.json")
_SHARD = re.compile(r"[^/]+-\d{6}\.tar")
_OF_PARQUET = re.compile(r"data/[^/]+-\d{5}(?:-of-\d{5})?\.parquet")
_LISTED = re.compile(rb"([0-9a-f]{64})  (images/([^/\n]+)/[^/\n]+)\n?")
_LONGEST_LINE = 16 << 20
_PIECE = 1 << 20


class Table(Protocol):
    """`texts` are those of the rows, with their places, from which `read` gets them again. `parsed` is what a text
    says: None for one that is about no image. `member` is the file of a row that was just met."""

    name: str

    def texts(self) -> Iterator[tuple[int, bytes]]: ...
    def read(self, at: int, length: int) -> bytes: ...
    def parsed(self, text: bytes) -> dict[str, Any] | None: ...
    def member(self, row: dict[str, Any]) -> Member | None: ...


def tables_of(archive: Archive) -> list[Table]:
    """An image folder has a table for each split, COCO a file, webdataset and Parquet their shards. Where there is
    none the manifest is the table: it has the images' names, which tell the labels. Raises DatasetError for no
    dataset."""
    names = sorted(archive.members)
    if found := [name for name in names if _SHARD.fullmatch(name)]:
        _check_complete(archive, found, _SHARD)
        return [_Shard(archive, name) for name in found]
    if found := [name for name in names if _OF_PARQUET.fullmatch(name)]:
        _check_complete(archive, found, _OF_PARQUET)
        return [ParquetTable(archive, found)]
    if found := [name for name in names if name == TABLE or _OF_SPLIT.fullmatch(name)]:
        return [_Jsonl(archive, name) for name in found]
    if found := [name for name in names if _OF_COCO.fullmatch(name)]:
        return [_Coco(archive, name) for name in found]
    return [_Manifest(archive, MANIFEST)]


def _check_complete(archive: Archive, shards: Sequence[str], pattern: re.Pattern[str]) -> None:
    """Whether all shards of the manifest are there. They are not hashed, which would take reading all of them."""
    listed = (line.partition(b"  ")[2].decode("utf-8", "replace") for line in archive.read(MANIFEST).splitlines())
    if missing := sorted({name for name in listed if pattern.fullmatch(name)} ^ set(shards)):
        raise DatasetError(f"{archive.name} is damaged: its {MANIFEST} and its shards differ in {missing[0]}.")


class _Lines:
    """A text file with a row a line."""

    def __init__(self, archive: Archive, name: str) -> None:
        """Where its bytes can be read: in the archive itself, or unpacked in a file without a name."""
        self.name, self._archive = name, archive
        member = archive.members.get(name)
        if member is None:
            raise DatasetError(
                f"{archive.name} is no dataset that can be loaded here: it has neither {TABLE} nor {MANIFEST}."
            )
        self._size, self._unpacked = member.size, None
        if not member.deflated:
            self._start = archive.start(name, member)
            archive.expect(self._start, self._size)
            return
        with tempfile.TemporaryFile() as unpacked:
            unpacked.write(archive.read(name))
            unpacked.flush()
            self._unpacked = os.dup(unpacked.fileno())
        weakref.finalize(self, os.close, self._unpacked)

    def read(self, at: int, length: int) -> bytes:
        if self._unpacked is None:
            return self._archive.slice(self._start + at, length)
        return os.pread(self._unpacked, length, at)

    def texts(self) -> Iterator[tuple[int, bytes]]:
        """Held to the manifest, when all are read."""
        digest, at, rest = hashlib.sha256(), 0, b""
        while at < self._size:
            piece = self.read(at, min(_PIECE, self._size - at))
            if not piece:
                raise DatasetError(f"{self._archive.name} is cut off.")
            digest.update(piece)
            start, at = at - len(rest), at + len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield start, line + b"\n"
                start += len(line) + 1
            if len(rest) > _LONGEST_LINE:
                raise DatasetError(f"{self.name} in {self._archive.name} has a line without an end.")
        if rest:
            yield at - len(rest), rest
        self._check(digest.hexdigest())

    def _check(self, found: str) -> None:
        if MANIFEST not in self._archive.members:
            raise DatasetError(f"{self._archive.name} is no dataset of Gleanset's: it has no {MANIFEST}.")
        if f"{found}  {self.name}".encode() not in self._archive.read(MANIFEST).splitlines():
            raise DatasetError(f"The {self.name} of {self._archive.name} is damaged: its SHA-256 is another one.")

    def parsed(self, text: bytes) -> dict[str, Any] | None:
        return _object(text, self.name, self._archive)


class _Jsonl(_Lines):
    def member(self, row: dict[str, Any]) -> Member | None:
        folder = self.name.rpartition("/")[0]
        return _named(self._archive, f"{folder}/" if folder else "", row)


class _Coco(_Lines):
    """Its images stand between two lines, one on each."""

    _FIRST, _LAST = b'"images": [\n', b'], "annotations": ['

    def texts(self) -> Iterator[tuple[int, bytes]]:
        inside = False
        for at, line in super().texts():
            inside = inside and not line.startswith(self._LAST)
            if inside and line != b"\n":
                yield at, line
            inside = inside or line.endswith(self._FIRST)

    def parsed(self, text: bytes) -> dict[str, Any] | None:
        return super().parsed(text.rstrip(b",\n"))

    def member(self, row: dict[str, Any]) -> Member | None:
        found = _OF_COCO.fullmatch(self.name)
        assert found is not None
        return _named(self._archive, f"images/{found[1]}/", row)


class _Manifest(_Lines):
    def _check(self, found: str) -> None:
        """It does not list itself."""

    def parsed(self, text: bytes) -> dict[str, Any] | None:
        found = _LISTED.fullmatch(text)
        if found is None:
            return None
        sha256, name, label = (part.decode("utf-8", "replace") for part in found.groups())
        return {"file_name": name, "label": label, "sha256": sha256}

    def member(self, row: dict[str, Any]) -> Member | None:
        return _named(self._archive, "", row)


class _Shard:
    """A tar within the archive, of whose samples the JSON is the row; the image stands before it."""

    def __init__(self, archive: Archive, name: str) -> None:
        member = archive.members[name]
        if member.deflated:
            raise DatasetError(f"{archive.name} was packed again: its shards have to be stored as they are.")
        self.name, self._archive = name, archive
        self._start, self._size = archive.start(name, member), member.size
        self._before: Sequence[tuple[str, Member]] = ()

    def texts(self) -> Iterator[tuple[int, bytes]]:
        window = BufferedReader(Window(self._archive, self._start, self._size), _PIECE)
        before: list[tuple[str, Member]] = []
        self._before = before
        try:
            for name, member in tar_members(window, self._archive.check):
                if not name.endswith(".json"):
                    before = [*before[-2:], (name, member)]
                    continue
                if member.size > _LONGEST_LINE:
                    raise DatasetError(f"{self.name} in {self._archive.name} has a row of {member.size:,} bytes.")
                self._before = before
                yield member.at, self.read(member.at, member.size)
            if not self._before:
                raise tarfile.ReadError("it has no samples")
        except (*BROKEN, OSError) as error:
            raise DatasetError(f"{self.name} in {self._archive.name} cannot be read: {error}.") from error

    def read(self, at: int, length: int) -> bytes:
        return self._archive.slice(self._start + at, length)

    def parsed(self, text: bytes) -> dict[str, Any] | None:
        """As metadata.jsonl has it: here nothing is missing, and what the source told is a text."""
        row = _object(text, self.name, self._archive)
        told = {name: None if value == "" else value for name, value in row.items()}
        if isinstance(metadata := told.get("metadata"), str):
            told["metadata"] = _object(metadata.encode(), self.name, self._archive)
        return told

    def member(self, row: dict[str, Any]) -> Member | None:
        found = next((member for name, member in self._before if name == row.get("file_name")), None)
        return found and found._replace(at=self._start + found.at, within=True)


def _named(archive: Archive, folder: str, row: dict[str, Any]) -> Member | None:
    name = row.get("file_name")
    return archive.members.get(folder + name) if isinstance(name, str) else None


def _object(text: bytes, name: str, archive: Archive) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"A row of the {name} of {archive.name} is damaged: {error}.") from error
    if not isinstance(row, dict):
        raise DatasetError(f"A row of the {name} of {archive.name} is no object.")
    return cast("dict[str, Any]", row)
