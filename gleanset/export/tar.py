"""A dataset as one tar file (POSIX.1-2001, pax, which knows every name and size): plain, gzipped or by Zstandard.

A compressed tar is a row of gzip members or of Zstandard frames (RFC 1952, RFC 8878: such a row is the content of all
in their order), each compressed for itself: so a killed export goes on behind any of them.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from gleanset.copying import Part, Stored
from gleanset.export.container import Content, Whole, packed_file, parts_of, size_of
from gleanset.export.workspace import Growing, Workspace

_BLOCK = 4 << 20
_ZSTD_LEVEL = 3
_GZIP_LEVEL = 1
"""Images hardly get smaller; what does, the papers, does so at any level."""

_LARGE = 8**11
"""Bytes of a file whose size no header of POSIX.1-1988 holds."""

Compress = Callable[[bytes], bytes]


class Tar:
    """See `gleanset.export.container.Container`."""

    def __init__(self, place: Workspace, name: str, state: Mapping[str, int], compress: Compress | None = None) -> None:
        self._place = place
        self._archive = place.growing(name)
        self._length = state.get("length", 0)
        self._blocks = _Compressed(self._archive, compress) if compress else self._archive

    def add(self, name: str, content: Content) -> None:
        size = size_of(content)
        self._write(tar_header(name, size))
        for part in parts_of(content):
            self._write(part)
        self._write(bytes(-size % tarfile.BLOCKSIZE))

    def _write(self, part: Part) -> None:
        self._blocks.write(part)
        self._length += len(part)

    def state(self) -> dict[str, int]:
        if isinstance(self._blocks, _Compressed):
            self._blocks.flush()
        return {"length": self._length}

    def finish(self) -> Whole:
        self._write(tar_end(self._length))
        if isinstance(self._blocks, _Compressed):
            self._blocks.flush()
        return packed_file(self._place, self._archive)


def _whole(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


_HEADER = _whole("", 0)[:148] + b" " * 8 + _whole("", 0)[156:]
"""That of an empty file without a name, with blanks for its checksum, as they count in it."""
_SUM = sum(_HEADER) - sum(_HEADER[124:135])
"""Of its bytes, without those of the size."""


def tar_header(name: str, size: int) -> bytes:
    """What stands before a file: of nobody, from 1970, so that the same files give the same bytes."""
    if len(name) < tarfile.LENGTH_NAME and size < _LARGE and name.isascii():  # nearly all, in a seventh of the time
        header, named, sized = bytearray(_HEADER), name.encode(), b"%011o" % size
        header[: len(named)] = named
        header[124:135] = sized
        header[148:156] = b"%06o\0 " % (_SUM + sum(named) + sum(sized))
        return bytes(header)
    return _whole(name, size)


def tar_end(length: int) -> bytes:
    """What stands behind the last file of a tar of this length: two empty blocks, and as many as fill a record."""
    end = 2 * tarfile.BLOCKSIZE
    return bytes(end + -(length + end) % tarfile.RECORDSIZE)


class _Compressed:
    """Gathers bytes until compressing them pays."""

    def __init__(self, file: Growing, compress: Compress) -> None:
        self._file, self._compress = file, compress
        self._waiting: list[bytes] = []
        self._bytes = 0

    def write(self, part: Part) -> None:
        self._waiting.append(part.bytes() if isinstance(part, Stored) else part)
        self._bytes += len(part)
        if self._bytes >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        if self._bytes:
            self._file.write(self._compress(b"".join(self._waiting)))
            self._waiting, self._bytes = [], 0


def _zstd(data: bytes) -> bytes:
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # here, since it takes a while

    codec = cast("Any", pyarrow.Codec)("zstd", _ZSTD_LEVEL)
    return cast("bytes", codec.compress(data, asbytes=True))


TarGz = partial(Tar, compress=partial(gzip.compress, compresslevel=_GZIP_LEVEL, mtime=0))
TarZst = partial(Tar, compress=_zstd)
