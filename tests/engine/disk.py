"""Disks with hardly any room."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, size: int = 1 << 20) -> Iterator[bool]:
    """`folder` on a file system of `size` bytes; without the right to mount, no file may grow beyond `size`.

    Gives whether it was mounted: only then is it the space that ends, and not the length of one file.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield True
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    else:
        with longest_file(size):
            yield False


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """No write of this process gets past `size` bytes of a file: it fails, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
