"""A file within an archive, for who reads files."""

from __future__ import annotations

import os
from io import RawIOBase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gleanset.client.archive import Archive


class Window(RawIOBase):
    """A part of an archive as a file of its own."""

    def __init__(self, archive: Archive, start: int, size: int) -> None:
        self._archive, self._start, self._size, self._at = archive, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read_at(self, at: int, length: int) -> bytes:
        """Bytes from a place on; fewer at the end."""
        return self._archive.slice(self._start + at, min(length, max(0, self._size - at)))

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        data = self.read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
