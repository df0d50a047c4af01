"""An export as it lies somewhere: its files one after the other, out of a folder, a zip or a tar, here or in a bucket.

What is read may be hostile. Nothing is unpacked to disk, links are not followed, and no more comes out of an archive
than an honest one of its size has.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast

from gleanset.errors import ExportDamaged, ExportError, NotAnExport, SourceError, StoreError
from gleanset.export.zip_reading import open_entry, zip_entries
from gleanset.sources.archive import BROKEN, most_of
from gleanset.sources.tar_stream import Unfolded, is_tar, tar_entries
from gleanset.store import Store

_BLOCK = 1 << 20
_DEEPEST = 64
_ARCHIVES = re.compile(r"\.(?:zip|tar|tgz|tar\.\w+)$", re.IGNORECASE)
_OF_DESKTOPS = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What looking at a folder leaves in it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file inside, to be read before the next is asked for. `content` is None for links, devices and the like."""

    name: str
    size: int
    content: IO[bytes] | None

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, which are as many as it says. Raises ExportDamaged."""
        read = 0
        with _mapped(self.name):
            while self.content is not None and (block := self.content.read(_BLOCK)):
                read += len(block)
                yield block
        if self.content is not None and read != self.size:
            raise ExportDamaged(f"{self.name} ends after {read:,} of {self.size:,} bytes.")

    @property
    def is_safe(self) -> bool:
        """Whether it would be unpacked to a file below the folder, by any program."""
        return self.content is not None and not _leads_out(self.name)


def _leads_out(name: str) -> bool:
    """Whether any program might take this for a path that is not below the folder."""
    steps = re.split(r"[/\\]", name)
    return bool({"", "..", "."} & set(steps)) or ":" in steps[0]


class Package(Protocol):
    """An export to be read. `size`: its bytes, or None for what tells them only when all is read."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int | None: ...

    def parts(self) -> Iterator[Part]:
        """The files from the first on, however often they are asked for. Raises ExportDamaged or NotAnExport."""
        ...


def open_package(place: str, name: str | None = None, *, folder: bool | None = None) -> Package:
    """A path, or an address of an object store (`s3://bucket/key`). Raises NotAnExport.

    `name` is what a person calls it, where that is not the place. `folder`: whether the address is one, which otherwise
    its ending tells.
    """
    if "://" in place:
        return _remote(place, folder=not _ARCHIVES.search(place) if folder is None else folder)
    path = Path(place)
    try:
        if path.is_dir():
            return _Folder(path)
        return _archive(name or place, path.stat().st_size, partial(_open_path, path))
    except OSError as error:
        raise NotAnExport(f"{name or place} cannot be read: {error.strerror or error}.") from error


def _open_path(path: Path) -> BinaryIO:
    return path.open("rb")


def _remote(place: str, *, folder: bool) -> Package:
    try:
        if folder:
            return _Bucket(place)
        parent, _, key = place.rpartition("/")
        store = Store(parent)
        return _archive(place, store.size(key), partial(store.open, key))
    except StoreError as error:
        raise NotAnExport(str(error)) from error


class _Opens(Protocol):
    def __call__(self) -> BinaryIO: ...


def _archive(name: str, size: int, opens: _Opens) -> Package:
    """Known by its first bytes."""
    with opens() as file:
        start = file.read(512)
    if start.startswith(b"PK"):
        return _Zip(name, size, opens)
    if is_tar(start):
        return _Tar(name, size, opens)
    raise NotAnExport(f"{name} is neither a folder nor a zip or tar archive, so it is no export that can be read.")


@contextmanager
def _mapped(name: str) -> Generator[None]:
    """What goes wrong on the way through an archive is its damage."""
    try:
        yield
    except ExportError:
        raise
    except StoreError as error:
        raise NotAnExport(str(error)) from error
    except (SourceError, *BROKEN) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ExportDamaged(f"{name} cannot be read to its end: {reason}.") from error


class _Limit:
    """Counts what comes out of an archive."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._left = name, most_of(size)

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ExportDamaged(f"{self._name} unfolds to far more than its size: that is no export but a trap.")


class _Zip:
    def __init__(self, name: str, size: int, opens: _Opens) -> None:
        self.name, self.size, self._opens = name, size, opens

    def parts(self) -> Iterator[Part]:
        limit = _Limit(self.name, self.size)
        with _mapped(self.name), self._opens() as listing, self._opens() as file:
            for entry in zip_entries(listing, self.size):
                limit.take(entry.size)
                if entry.regular and not entry.is_folder:
                    yield Part(entry.name, entry.size, open_entry(file, entry))
                elif not entry.regular or entry.size or _leads_out(entry.name.removesuffix("/")):
                    yield Part(entry.name, entry.size, None)


class _Tar:
    def __init__(self, name: str, size: int, opens: _Opens) -> None:
        self.name, self.size, self._opens = name, size, opens

    def parts(self) -> Iterator[Part]:
        limit, behind = _Limit(self.name, self.size), 0
        with _mapped(self.name), Unfolded(self._opens(), self.name, self.size) as file:
            for _, entry in tar_entries(file):
                limit.take(entry.size)
                name = entry.name.removeprefix("./")
                if entry.isreg() and not entry.issparse():
                    file.seek(entry.offset_data)
                    yield Part(name, entry.size, cast("IO[bytes]", _Stretch(file.file, entry.size)))
                elif not entry.isdir() or _leads_out(name.removesuffix("/") or "folder"):
                    yield Part(name, entry.size, None)
            rest = file.header
            while rest:  # behind it are checksums of the whole
                limit.take(len(rest))
                behind += len(rest if behind else rest.lstrip(b"\0"))
                rest = file.file.read(_BLOCK)
        if behind:
            raise ExportDamaged(f"{behind:,} bytes lie behind the end of {self.name}.")


@contextmanager
def seekable(part: Part) -> Generator[BinaryIO]:
    """The part's bytes as a file to go to and fro in: itself where it lies in a folder, or else a copy without a name.

    Raises ExportDamaged, and OSError when there is no room for the copy.
    """
    content = part.content
    if content is not None and isinstance(cast("object", content), BufferedReader) and content.seekable():
        yield cast("BinaryIO", content)
        return
    with tempfile.TemporaryFile() as copy:
        for block in part.blocks():
            copy.write(block)
        copy.seek(0)
        yield cast("BinaryIO", copy)


def parts_within(part: Part) -> Iterator[Part]:
    """The files of a tar that lies in an export. Raises ExportDamaged."""
    with seekable(part) as file:
        yield from _Tar(part.name, part.size, lambda: file).parts()


class _Stretch:
    """So many bytes of a file from where it stands."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, most: int) -> bytes:
        data = self._file.read(min(most, self._left))
        self._left -= len(data)
        return data


class _Folder:
    size = None

    def __init__(self, root: Path) -> None:
        self.name, self._root = str(root), root

    def parts(self) -> Iterator[Part]:
        with _mapped(self.name):
            yield from self._below(self._root, "", 0)

    def _below(self, folder: Path, prefix: str, depth: int) -> Iterator[Part]:
        if depth > _DEEPEST:
            raise ExportDamaged(f"{self.name} has folders nested more than {_DEEPEST} deep, as no export has.")
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    yield from self._below(Path(entry.path), f"{name}/", depth + 1)
                elif entry.is_file(follow_symlinks=False):
                    if entry.name not in _OF_DESKTOPS:
                        yield from self._file(entry.path, name)
                else:
                    yield Part(name, 0, None)

    def _file(self, path: str, name: str) -> Iterator[Part]:
        # Neither a link nor a pipe that has taken the file's place meanwhile.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(number, "rb") as file:  # noqa: PTH123 - a descriptor
            about = os.fstat(number)
            yield Part(name, about.st_size, file if stat.S_ISREG(about.st_mode) else None)


class _Bucket:
    """A folder in an object store."""

    size = None

    def __init__(self, place: str) -> None:
        self.name, self._store = place, Store(place)

    def parts(self) -> Iterator[Part]:
        with _mapped(self.name), asyncio.Runner() as runner:
            listing = self._store.blobs()
            while (blobs := runner.run(anext(listing, None))) is not None:
                for blob in blobs:
                    with self._store.open(blob.key) as file:
                        yield Part(blob.key, self._store.size(blob.key), file)
