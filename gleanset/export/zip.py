"""A dataset as one ZIP file. Images are stored, not deflated: they are compressed already."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that ZIP knows, for every file: the same entries give the same bytes."""


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, name: str, content: IO[bytes], size: int) -> None:
        info = zipfile.ZipInfo(name, _EPOCH)
        info.external_attr = 0o644 << 16
        info.create_system = 3  # Unix, wherever it is made
        info.file_size = size
        with self._archive.open(info, "w", force_zip64=size > zipfile.ZIP64_LIMIT // 2) as inside:
            shutil.copyfileobj(content, inside, 1 << 20)


@contextmanager
def zip_archive(file: IO[bytes]) -> Generator[_Zip]:
    """Files of any number and size (zip64)."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        yield _Zip(archive)
