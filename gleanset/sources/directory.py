"""Files in a folder: walked in order of their names, in the same memory however many there are."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from heapq import nsmallest
from operator import attrgetter
from pathlib import Path

from gleanset.errors import FetchFailed, SourceError
from gleanset.sources.list_file import ListFile
from gleanset.sources.shelf import SIDECARS, check_size, is_hidden, is_wanted, mapped, quoted, unquoted
from gleanset.types import Reason

_AT_ONCE = 50_000  # names of one folder held in memory; a folder of more is looked through several times
_DEEPEST = 64


class Directory:
    """A folder and those below it. Links are not followed."""

    parallel = True

    def __init__(self, root: Path) -> None:
        self._root, self.name = root, str(root)
        self.url = root.as_uri().rstrip("/") + "/"

    def files(self, cursor: str | None) -> Iterator[tuple[str, str]]:
        after = [] if cursor is None else unquoted(cursor).split("/")
        with mapped(self._root, OSError):
            for path in self._walk([], after):
                yield path, quoted(path)

    def read(self, path: str, max_bytes: int) -> bytes:
        try:
            # Neither a link nor a pipe that has taken the file's place meanwhile.
            number = os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(number, "rb") as file:  # noqa: PTH123 - a descriptor
                about = os.fstat(number)
                if not stat.S_ISREG(about.st_mode):
                    raise FetchFailed(Reason.UNREADABLE, "not a regular file")
                check_size(about.st_size, max_bytes)
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise FetchFailed(Reason.UNREADABLE, error.strerror or str(error)) from error
        check_size(len(data), max_bytes)
        return data

    @contextmanager
    def sidecar(self) -> Generator[ListFile | None]:
        found = (path for name in SIDECARS if (path := self._root / name).is_file())
        path = next(found, None)
        yield None if path is None else ListFile(str(path))

    def close(self) -> None:
        pass

    def _walk(self, parents: list[str], after: list[str]) -> Iterator[str]:
        """Paths of the files below one folder, those behind `after` where that is given."""
        if len(parents) > _DEEPEST:
            raise SourceError(f"{self._root} has folders nested more than {_DEEPEST} deep. Name one of those inside.")
        for name, is_folder in _in_order(self._root.joinpath(*parents), after[0] if after else ""):
            met = after[1:] if after and name == after[0] else []
            if is_folder:
                yield from self._walk([*parents, name], met)
            elif not (len(after) == 1 and name == after[0]):
                yield "/".join([*parents, name])


def _in_order(folder: Path, first: str) -> Iterator[tuple[str, bool]]:
    """Names in one folder from `first` on, each with whether it is a folder."""
    last = ""
    while True:
        with os.scandir(folder) as entries:
            behind = (entry for entry in entries if entry.name > last and entry.name >= first)
            some = nsmallest(_AT_ONCE, behind, key=attrgetter("name"))
        for entry in some:
            is_folder = _kind(entry)
            if is_folder is not None:
                yield entry.name, is_folder
        if len(some) < _AT_ONCE:
            return
        last = some[-1].name


def _kind(entry: os.DirEntry[str]) -> bool | None:
    """Whether it is a folder; None for what is of no interest."""
    if entry.is_dir(follow_symlinks=False):
        return None if is_hidden(entry.name) else True
    return False if is_wanted(entry.name) and entry.is_file(follow_symlinks=False) else None
