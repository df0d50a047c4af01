"""Pictures in a zip archive."""

from __future__ import annotations

import io
import stat
import sys
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from gleanset.errors import FetchFailed, ImageRefused
from gleanset.sources.archive import BROKEN, MOST_UNFOLDED, SidecarCopy, most_of, trap
from gleanset.sources.list_file import ListFile
from gleanset.sources.shelf import SIDECARS, check_path, check_size, is_wanted, mapped, quoted, unquoted
from gleanset.types import Reason

_SMALL_ENTRY = 1024 * 1024
_LONGEST_DIRECTORY = 64 * 1024 * 1024  # bytes of the list of entries: about half a million of them


class ZipShelf:
    """A zip archive, its entries in order of their names."""

    parallel = True

    def __init__(self, path: Path) -> None:
        self._path, self.name = path, str(path)
        self.url = f"{path.as_uri()}#"
        with mapped(path, *BROKEN):
            file = _Capped(io.FileIO(path))
            try:
                self._zip = zipfile.ZipFile(file)
            except BaseException:
                file.close()
                raise
        self._file, file.most = file, sys.maxsize
        whole = sum(info.file_size for info in self._zip.infolist())
        if whole > most_of(path.stat().st_size):
            self.close()
            raise trap(path)

    def files(self, cursor: str | None) -> Iterator[tuple[str, str]]:
        after = "" if cursor is None else unquoted(cursor)
        names = sorted({info.filename for info in self._zip.infolist() if _is_file(info) and is_wanted(info.filename)})
        return ((name, quoted(name)) for name in names if name > after)

    def read(self, path: str, max_bytes: int) -> bytes:
        check_path(path)
        try:
            info = self._zip.getinfo(path)
            if info.flag_bits & 1:
                raise FetchFailed(Reason.UNREADABLE, "the entry is encrypted")
            check_size(info.file_size, max_bytes)
            if info.file_size > max(_SMALL_ENTRY, MOST_UNFOLDED * info.compress_size):
                raise ImageRefused(Reason.TOO_LARGE, f"unfolds to more than {MOST_UNFOLDED} times its size")
            with self._zip.open(info) as file:
                data = file.read(max_bytes + 1)
        except (KeyError, *BROKEN) as error:
            raise FetchFailed(Reason.UNREADABLE, str(error)) from error
        check_size(len(data), max_bytes)
        return data

    @contextmanager
    def sidecar(self) -> Generator[ListFile | None]:
        names = set(self._zip.namelist())
        name = next((name for name in SIDECARS if name in names), None)
        if name is None:
            yield None
            return
        with mapped(self._path, *BROKEN), self._zip.open(name) as file:
            copy = SidecarCopy(self._path, name, file)
        with copy as listed:
            yield listed

    def close(self) -> None:
        self._zip.close()
        self._file.close()


class _Capped(io.BufferedReader):
    """A zip as `zipfile` reads it, which asks for the whole list of entries at once, however long it says it is."""

    most = _LONGEST_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most:
            raise zipfile.BadZipFile("it has too many entries for a zip archive; unpack it, and give the folder")
        return super().read(size)


def _is_file(info: zipfile.ZipInfo) -> bool:
    """Neither a folder nor a link, a device or the like."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return not info.is_dir() and kind in {0, stat.S_IFREG}
