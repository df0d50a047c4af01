"""A dataset as one tar file, plain or gzipped."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, cast

_GZIP_LEVEL = 1
"""Images hardly get smaller; what does, the papers, does so at any level."""


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, name: str, content: IO[bytes], size: int) -> None:
        info = tarfile.TarInfo(name)  # of nobody, from 1970: the same entries give the same bytes
        info.size, info.mode = size, 0o644
        self._archive.addfile(info, content)
        self._archive.getmembers().clear()  # nobody asks for them, and there may be millions


@contextmanager
def tar_archive(file: IO[bytes]) -> Generator[_Tar]:
    """POSIX.1-2001 (pax), which knows every name and size."""
    with tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, copybufsize=1 << 20) as archive:
        yield _Tar(archive)


@contextmanager
def tar_gz_archive(file: IO[bytes]) -> Generator[_Tar]:
    """The same, gzipped, without a name or time in gzip's own header."""
    with (
        gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed,
        tar_archive(cast("IO[bytes]", packed)) as archive,
    ):
        yield archive
