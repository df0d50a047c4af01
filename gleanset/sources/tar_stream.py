"""The entries of a tar archive, compressed or not, read in one direction. It may be hostile: everything is bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from typing import IO, Any, BinaryIO, cast

from gleanset.errors import SourceError
from gleanset.sources.archive import most_of, trap

_MOST_ENTRIES = 10_000_000
_LONGEST_HEADER = 16 * 1024 * 1024
_STEP = 16 * 1024 * 1024


class _Zstandard(io.RawIOBase):
    """What is in a row of Zstandard frames, read forward. Arrow unfolds it, and takes windows of 128 MB at most."""

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow  # pyright: ignore[reportMissingTypeStubs] - 0.1 s that other archives do without

        arrow = cast("Any", pyarrow)
        self._stream = arrow.CompressedInputStream(arrow.PythonFile(file, mode="r"), "zstd")
        self._at = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        data = cast("bytes", self._stream.read(None if size < 0 else size))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < self._at:
            raise io.UnsupportedOperation("backwards")
        while self._at < offset and self.read(min(_STEP, offset - self._at)):
            pass
        return self._at


_UNFOLDING: dict[bytes, Callable[[BinaryIO], BinaryIO]] = {
    b"\x1f\x8b": lambda file: cast("BinaryIO", gzip.GzipFile(fileobj=file)),
    b"\xfd7zXZ\0": lambda file: cast("BinaryIO", lzma.LZMAFile(file)),  # noqa: SIM115 - closed with its user
    b"BZh": lambda file: cast("BinaryIO", bz2.BZ2File(file)),
    b"\x28\xb5\x2f\xfd": lambda file: cast("BinaryIO", _Zstandard(file)),
}
MAGICS = tuple(_UNFOLDING)


def is_tar(start: bytes) -> bool:
    """Whether a file that begins with these 512 bytes is read here."""
    return start.startswith(MAGICS) or start[257:262] == b"ustar"


class Unfolded:
    """The unfolded bytes of a tar, as `tarfile` reads them: no more of them than an honest archive has.

    `raw` is the archive of `size` bytes, from its beginning, and closed with this; `name` is what a person calls it.
    `header` is what `tarfile` read last: when there are no more entries, that behind the last of them.
    """

    def __init__(self, raw: BinaryIO, name: str, size: int) -> None:
        self._raw, self.name = raw, name
        start = raw.read(6)
        raw.seek(0)
        unfold = next((unfold for magic, unfold in _UNFOLDING.items() if start.startswith(magic)), None)
        self.file: BinaryIO = raw if unfold is None else unfold(raw)
        self.header = b""
        self._most = None if unfold is None else most_of(size)

    def __enter__(self) -> Unfolded:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self._raw.close()

    def tell(self) -> int:
        return self.file.tell()

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.header = self.file.read(size)
        return self.header

    def seek(self, offset: int) -> int:
        """In steps, since on the way everything has to be unfolded."""
        at = self.file.tell()
        while self._most is not None and at + _STEP < offset:
            self.file.seek(at + _STEP)
            if self.file.tell() < at + _STEP:
                raise tarfile.ReadError("unexpected end of data")
            at += _STEP
            if at > self._most:
                raise trap(self.name)
        return self.file.seek(offset)


def tar_entries(file: Unfolded) -> Iterator[tuple[int, tarfile.TarInfo]]:
    """Every entry with its number, from 1 on. Raises SourceError, and what is in `BROKEN`."""
    with tarfile.open(fileobj=cast("IO[bytes]", file), mode="r:") as tar:
        number = 0
        while (entry := tar.next()) is not None:
            if entry.size < 0:  # it would be met again and again
                raise tarfile.ReadError("a file of less than no bytes")
            tar.members = []  # pyright: ignore[reportAttributeAccessIssue] - it would keep all of them
            number += 1
            if number > _MOST_ENTRIES:
                raise SourceError(f"{file.name} has more than {_MOST_ENTRIES:,} entries.")
            yield number, entry
