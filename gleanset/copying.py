"""Stored images that are written into other files, each checked on its way: as they are, or made smaller.

It imports next to nothing: a process that copies is there at once.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isal.isal_zlib import crc32  # pyright: ignore[reportUnknownVariableType]

if TYPE_CHECKING:
    from gleanset.errors import ExportError, StoreError
    from gleanset.types import Resize

_BLOCK = 1 << 20
_TOGETHER = 512
"""Parts written with one call; systems take 1,024."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An image in a store on this disk: its folder, its key there, and what its bytes must be.

    `crc32` is that which was taken when the image was stored, along with its SHA-256. It finds what disks and memory do
    to bytes at a fiftieth of the cost; where it is not known, the bytes are held to their SHA-256.
    """

    folder: str
    key: str
    size: int
    sha256: str
    crc32: int | None

    def __len__(self) -> int:
        return self.size

    def __reduce__(self) -> tuple[Any, ...]:
        """As pickle has it in a fifth of the time that dataclasses take for it."""
        return Stored, (self.folder, self.key, self.size, self.sha256, self.crc32)

    def blocks(self, room: memoryview | None = None) -> Iterator[memoryview]:
        """Its bytes in their order; a block is good until the next is asked for. room: where to put them, so that who
        reads many need not clear memory for each.

        Raises StoreError when it cannot be read; behind the last block, ExportError when the bytes are other ones.
        """
        file = self._opened()
        try:
            check, size, block = _Check(self), 0, room or _room(self.size)
            while length := self._read(file, block):
                size += length
                check.update(block[:length])
                yield block[:length]
                if size > self.size:
                    break
            if size != self.size or not check.is_good():
                raise damaged(self.key)
        finally:
            os.close(file)

    def bytes(self) -> bytes:
        """All of them. Raises as `blocks` does."""
        return b"".join(map(bytes, self.blocks()))

    def _opened(self) -> int:
        try:
            return os.open(f"{self.folder}/{self.key}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreadable(error) from error

    def _read(self, file: int, block: memoryview) -> int:
        try:
            return os.readv(file, [block])
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> StoreError:
        from gleanset.errors import StoreError

        return StoreError(f"The image file://{self.folder}/{self.key} cannot be read: {error.strerror}")


def damaged(key: str) -> ExportError:
    """What is raised for a stored image whose bytes are not those of its name."""
    from gleanset.errors import ExportError

    return ExportError(f"The stored image {key} is damaged. `gleanset db doctor` tells what to do.")


def _room(size: int) -> memoryview:
    return memoryview(bytearray(min(size + 1, _BLOCK)))


class _Check:
    """Takes the bytes one by one, and says whether they were those of the image."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._crc32 = 0
        self._sha256 = None if stored.crc32 is not None else hashlib.sha256()

    def update(self, block: memoryview) -> None:
        if self._sha256 is None:
            self._crc32 = crc32(block, self._crc32)
        else:
            self._sha256.update(block)

    def is_good(self) -> bool:
        if self._sha256 is None:
            return self._crc32 == self._stored.crc32
        return self._sha256.hexdigest() == self._stored.sha256


Part = bytes | Stored


@dataclass(frozen=True, slots=True)
class Copy:
    """Parts to be written one behind the other into a file, from `offset` on. `new`: into a file that is made, or
    emptied, for them. Doing it twice does no harm."""

    path: str
    offset: int
    parts: Sequence[Part]
    new: bool = False

    def __call__(self) -> None:
        """Raises OSError when it cannot be written, and as `Stored.blocks` does."""
        room = _room(max((part.size for part in self.parts if isinstance(part, Stored)), default=0))
        how = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT | os.O_TRUNC if self.new else 0)
        file = os.open(self.path, how, 0o666)
        try:
            at, waiting = self.offset, list[bytes | memoryview]()
            for part in self.parts:
                if isinstance(part, bytes):
                    waiting.append(part)
                    continue
                for block in part.blocks(room):
                    at = write_at(file, [*waiting, block], at)
                    waiting = []
            write_at(file, waiting, at)
        finally:
            os.close(file)


def write_at(file: int, parts: Sequence[bytes | memoryview], at: int) -> int:
    """Write all of the parts; where the next one goes. Raises OSError."""
    for start in range(0, len(parts), _TOGETHER):
        some = parts[start : start + _TOGETHER]
        written, size = os.pwritev(file, some, at), sum(map(len, some))
        at += written
        if written < size:  # a disk that fills up, as the rest will tell; or a signal
            rest = memoryview(b"".join(some))[written:]
            while rest:
                written = os.pwrite(file, rest, at)
                at, rest = at + written, rest[written:]
    return at


@dataclass(frozen=True, slots=True)
class Copies:
    """Some of them, as work for a process."""

    copies: Sequence[Copy]

    def __call__(self, _: bytes = b"") -> None:
        from gleanset.serving import end_without_worker

        signal.alarm(0)  # which a process that decodes has set: a disk may take its time
        for copy in self.copies:
            end_without_worker()
            copy()


Copied = tuple[bytes, str, int, int]
"""A smaller copy's bytes, their SHA-256, and its width and height: what goes between processes in little time."""


@dataclass(frozen=True, slots=True)
class Smaller:
    """Work for a process: smaller copies of stored images, or of the one whose bytes come along. sizes: key, width and
    height of each."""

    resize: Resize
    sizes: Sequence[tuple[str, int, int]]
    stored: Sequence[Stored] | None = None

    def __call__(self, body: bytes) -> list[Copied]:
        from gleanset.resizing import resized  # OpenCV, which only those who decode want
        from gleanset.serving import begin_a_picture

        bodies = [body] if self.stored is None else (stored.bytes() for stored in self.stored)
        made: list[Copied] = []
        for size, data in zip(self.sizes, bodies, strict=True):
            begin_a_picture()
            made.append(resized(*size, data, self.resize))
        return made
