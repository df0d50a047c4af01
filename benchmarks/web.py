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


def pictures(count: int) -> list[Path]:
    """`count` JPEGs of about 100 kB; made at the first call on a machine."""
    return volume(CACHE / "pictures", count)


def write_list(path: Path, base_url: str, names: list[str], count: int) -> None:
    """A text list of `count` addresses; names come again under another query string when there are fewer."""
    lines = (f"{base_url}/{names[n % len(names)]}?v={n // len(names)}" for n in range(count))
    path.write_text("\n".join(lines) + "\n")


@contextmanager
def scratch() -> Generator[Path]:
    """A folder on the disk of the cache that is gone afterwards, together with a database server left running in it."""
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))
    os.sync()  # the last run's unwritten pages are not this one's burden
    try:
        yield folder
    finally:
        for lock in folder.rglob("postmaster.pid"):
            with suppress(psutil.Error, ValueError, IndexError):
                server = psutil.Process(int(lock.read_text().splitlines()[0]))
                server.terminate()
                server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)
