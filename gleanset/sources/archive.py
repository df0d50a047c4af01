"""What the two kinds of archives share. They may be hostile: nothing is unpacked to disk, everything is bounded."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from gleanset.errors import SourceError
from gleanset.sources.list_file import ListFile

MOST_UNFOLDED = 200  # times its size, of a whole archive or one entry; pictures are compressed already
_SMALL = 256 * 1024 * 1024  # so much may come of any archive
_LONGEST_SIDECAR = 4 * 1024**3
_STEP = 16 * 1024 * 1024

BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, OverflowError),
    *(RuntimeError, struct.error),
)
"""What reading a damaged archive raises; RuntimeError also for encryption, methods unknown and headers in headers."""


def most_of(size: int) -> int:
    """Bytes that an archive of pictures, itself of `size` bytes, may come to."""
    return max(_SMALL, MOST_UNFOLDED * size)


def trap(path: Path | str) -> SourceError:
    """The archive comes to more."""
    return SourceError(
        f"{path} unfolds to more than {MOST_UNFOLDED} times its size: that is no archive of pictures but a trap."
    )


class SidecarCopy:
    """The sidecar on disk for as long as it is read."""

    def __init__(self, path: Path, name: str, file: IO[bytes], size: int = _LONGEST_SIDECAR) -> None:
        self._file = NamedTemporaryFile(suffix=Path(name).suffix)  # noqa: SIM115 - closed at the exit
        left = min(size, _LONGEST_SIDECAR)
        most = most_of(path.stat().st_size)
        while left and (part := file.read(min(left, _STEP))):
            self._file.write(part)
            left -= len(part)
            if self._file.tell() > most:
                self._file.close()
                raise trap(path)
        self._file.flush()

    def __enter__(self) -> ListFile:
        return ListFile(self._file.name)

    def __exit__(self, *_: object) -> None:
        self._file.close()
