"""A dataset that lies unpacked in a folder, read like an archive: as if its files lay in one, one behind the other."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from gleanset.client.archive import Archive, Member
from gleanset.errors import DatasetError


class Folder(Archive):
    """Links in it are not followed: a folder that holds any is refused as a whole, as an archive is."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path, self.name = path, name or path.name
        self._zipped, self._coming = False, None
        try:
            found = sorted(self._files())
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror or error}.") from error
        self._names = [name for name, _ in found]
        self._starts = [0, *accumulate(size for _, size in found)]
        self.members = {
            name: Member(at, size, size, False) for (name, size), at in zip(found, self._starts, strict=False)
        }

    def _files(self) -> Iterator[tuple[str, int]]:
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(self.path / folder) as entries:
                for each in entries:
                    name = f"{folder}{each.name}"
                    if each.is_dir(follow_symlinks=False):
                        folders.append(f"{name}/")
                        continue
                    self.check(name, not each.is_file(follow_symlinks=False))
                    yield name, each.stat(follow_symlinks=False).st_size

    def close(self) -> None:
        """Nothing is kept open."""

    def slice(self, at: int, length: int) -> bytes:
        """Bytes of the file that lies there; fewer at its end."""
        place = bisect_right(self._starts, at) - 1
        if not 0 <= place < len(self._names):
            return b""
        try:
            with (self.path / self._names[place]).open("rb") as file:
                file.seek(at - self._starts[place])
                return file.read(max(0, min(length, self._starts[place + 1] - at)))
        except OSError as error:
            raise DatasetError(f"{self._names[place]} in {self.name} cannot be read: {error.strerror}.") from error
