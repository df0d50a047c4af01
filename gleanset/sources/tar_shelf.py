"""Pictures in a tar archive, read in one direction."""

from __future__ import annotations

import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from gleanset.errors import FetchFailed, SourceError
from gleanset.sources.archive import BROKEN, SidecarCopy
from gleanset.sources.list_file import ListFile
from gleanset.sources.shelf import SIDECARS, check_path, check_size, is_wanted, mapped
from gleanset.sources.tar_stream import Unfolded, tar_entries
from gleanset.sources.text import integer
from gleanset.types import Reason


class TarShelf:
    """A tar archive, compressed or not, its entries as they lie in it. A cursor is the number of an entry.

    It is read in one direction. Asking for an entry before the last one begins at the start again.
    """

    parallel = False

    def __init__(self, path: Path) -> None:
        self._path, self.name = path, str(path)
        self.url = f"{path.as_uri()}#"
        self._open: tuple[Iterator[tuple[int, tarfile.TarInfo]], Unfolded] | None = None

    def files(self, cursor: str | None) -> Iterator[tuple[str, str]]:
        after = 0 if cursor is None else integer(cursor)
        if after is None:
            raise SourceError(f"{cursor!r} is not a cursor of {self._path}: it is the number of an entry.")
        with mapped(self._path, *BROKEN), _opened(self._path) as file:
            for number, entry in tar_entries(file):
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
        with mapped(self._path, *BROKEN), _opened(self._path) as file:
            for _, entry in tar_entries(file):
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

    def _find(self, path: str) -> tuple[Unfolded, tarfile.TarInfo]:
        """The entry, looked for from where the last one was found to the end, and then from the start."""
        for _ in range(2):
            fresh = self._open is None
            if self._open is None:
                file = _opened(self._path)
                self._open = tar_entries(file), file
            entries, file = self._open
            for _, entry in entries:
                if _name(entry) == path and entry.isreg():
                    return file, entry
            self.close()
            if fresh:
                break
        raise FetchFailed(Reason.UNREADABLE, "the archive has no such entry any more")


def _opened(path: Path) -> Unfolded:
    raw = path.open("rb")
    return Unfolded(raw, str(path), path.stat().st_size)


def _name(entry: tarfile.TarInfo) -> str:
    return entry.name.removeprefix("./")
