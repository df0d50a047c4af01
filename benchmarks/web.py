"""The pictures, the list of their addresses, and the folders that a run needs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.photos import volume

CACHE = Path(__file__).parent / ".cache"

_used: list[Path] = []


def pictures(count: int) -> list[Path]:
    """`count` JPEGs of about 100 kB; made at the first call on a machine."""
    return volume(CACHE / "pictures", count)


def write_list(path: Path, base_url: str, names: list[str], count: int) -> None:
    """A text list of `count` addresses; names come again under another query string when there are fewer."""
    lines = (f"{base_url}/{names[n % len(names)]}?v={n // len(names)}" for n in range(count))
    path.write_text("\n".join(lines) + "\n")


@contextmanager
def scratch() -> Generator[Path]:
    """A new folder on the disk of the cache. At the end a database server left running in it is stopped.

    Its files stay until `remove_scratch`: for minutes after many files were deleted, ext4 is several times slower at
    making new ones, and whoever came next would pay for it.
    """
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))
    _used.append(folder)
    os.sync()  # the last run's unwritten pages are not this one's burden
    try:
        yield folder
    finally:
        for lock in folder.rglob("postmaster.pid"):
            with suppress(psutil.Error, ValueError, IndexError):
                server = psutil.Process(int(lock.read_text().splitlines()[0]))
                server.terminate()
                server.wait(20)


def remove_scratch() -> None:
    """Delete the folders of all runs of this process, when nothing is to be measured any more."""
    while _used:
        shutil.rmtree(_used.pop(), ignore_errors=True)
