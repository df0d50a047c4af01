"""Pictures in a tar archive, read in one direction."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from gleanset.errors import FetchFailed, SourceError
from gleanset.sources.archive import BROKEN, SidecarCopy, most_of, trap
from gleanset.sources.list_file import ListFile
from gleanset.sources.shelf import SIDECARS, check_path, check_size, is_wanted, mapped
from gleanset.sources.text import integer
from gleanset.types import Reason

_MOST_ENTRIES = 10_000_000
_LONGEST_HEADER = 16 * 1024 * 1024
_STEP = 16 * 1024 * 1024
_UNFOLDING: dict[bytes, Callable[[BinaryIO], BinaryIO]] = {
    b"\x1f\x8b": lambda file: cast("BinaryIO", gzip.GzipFile(fileobj=file)),
    b"\xfd7zXZ\0": lambda file: cast("BinaryIO", lzma.LZMAFile(file)),  # noqa: SIM115 - closed with its user
    b"BZh": lambda file: cast("BinaryIO", bz2.BZ2File(file)),
}
MAGICS = tuple(_UNFOLDING)


class TarShelf:
    """A tar archive, compressed or not, its entries as they lie in it. A cursor is the number of an entry.

    It is read in one direction. Asking for an entry before the last one begins at the start again.
    """

    parallel = False

    def __init__(self, path: Path) -> None:
        self._path, self.name = path, str(path)
        self.url = f"{path.as_uri()}#"
        self._open: tuple[Iterator[tuple[int, tarfile.TarInfo]], _Guarded] | None = None

    def files(self, cursor: str | None) -> Iterator[tuple[str, str]]:
        after = 0 if cursor is None else integer(cursor)
        if after is None:
            raise SourceError(f"{cursor!r} is not a cursor of {self._path}: it is the number of an entry.")
        with mapped(self._path, *BROKEN), _Guarded(self._path) as file:
            for number, entry in _entries(self._path, file):
                if number > after and entry.isreg() and is_wanted(_name(entry)):
                    yield _name(entry), str(number)

    def read(self, path: str, max_bytes: int) -> bytes:
        check_path(path)
        try:
            file, entry = self._find(path)
            check_size(entry.size, max_bytes)
            if entry.issparse():
                raise FetchFailed(Reason.UNREADABLE, "the entry is sparse")
            file.seek(entry.offset_data)
            data = file.file.read(entry.size)
        except (SourceError, *BROKEN) as error:
            raise FetchFailed(Reason.UNREADABLE, str(error)) from error
        if len(data) < entry.size:
            raise FetchFailed(Reason.UNREADABLE, "the archive ends within the entry")
        return data

    @contextmanager
    def sidecar(self) -> Generator[ListFile | None]:
        copy = None
        with mapped(self._path, *BROKEN), _Guarded(self._path) as file:
            for _, entry in _entries(self._path, file):
                if _name(entry) in SIDECARS and entry.isreg() and not entry.issparse():
                    file.seek(entry.offset_data)
                    copy = SidecarCopy(self._path, _name(entry), file.file, entry.size)
                    break
        if copy is None:
            yield None
            return
        with copy as listed:
            yield listed

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _find(self, path: str) -> tuple[_Guarded, tarfile.TarInfo]:
        """The entry, looked for from where the last one was found to the end, and then from the start."""
        for _ in range(2):
            fresh = self._open is None
            if self._open is None:
                file = _Guarded(self._path)
                self._open = _entries(self._path, file), file
            entries, file = self._open
            for _, entry in entries:
                if _name(entry) == path and entry.isreg():
                    return file, entry
            self.close()
            if fresh:
                break
        raise FetchFailed(Reason.UNREADABLE, "the archive has no such entry any more")


class _Guarded:
    """The unfolded bytes of a tar, as `tarfile` reads them: no more of them than an honest archive has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raw = path.open("rb")
        start = self._raw.read(6)
        self._raw.seek(0)
        unfold = next((unfold for magic, unfold in _UNFOLDING.items() if start.startswith(magic)), None)
        self.file: BinaryIO = self._raw if unfold is None else unfold(self._raw)
        self._most = None if unfold is None else most_of(path)

    def __enter__(self) -> _Guarded:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self._raw.close()

    def tell(self) -> int:
        return self.file.tell()

    def read(self, size: int) -> bytes:
        if size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self.file.read(size)

    def seek(self, offset: int) -> int:
        """In steps, since on the way everything has to be unfolded."""
        at = self.file.tell()
        while self._most is not None and at + _STEP < offset:
            self.file.seek(at + _STEP)
            if self.file.tell() < at + _STEP:
                raise tarfile.ReadError("unexpected end of data")
            at += _STEP
            if at > self._most:
                raise trap(self._path)
        return self.file.seek(offset)


def _entries(path: Path, file: _Guarded) -> Iterator[tuple[int, tarfile.TarInfo]]:
    """Every entry with its number, from 1 on."""
    with tarfile.open(fileobj=cast("IO[bytes]", file), mode="r:") as tar:
        number = 0
        while (entry := tar.next()) is not None:
            tar.members = []  # pyright: ignore[reportAttributeAccessIssue] - it would keep all of them
            number += 1
            if number > _MOST_ENTRIES:
                raise SourceError(f"{path} has more than {_MOST_ENTRIES:,} entries.")
            yield number, entry


def _name(entry: tarfile.TarInfo) -> str:
    return entry.name.removeprefix("./")
