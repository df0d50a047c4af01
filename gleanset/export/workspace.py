"""The folder in which an export grows, so that a killed export goes on where it was whole at last.

Its files are only ever appended to. A checkpoint notes how long each is, in a file that replaces the note before it at
once; whoever takes the folder over cuts the files back to that length. So the bytes of an export that was killed,
however often, are those of one that ran through.

What a killed process has handed to the system is not lost, so a checkpoint does not wait for the disk. What a machine
had in memory when it went down may be, so a note counts only until the machine that wrote it starts again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

_NOTE = "checkpoint.json"
_LOCK = "lock"
_BLOCK = 2 << 20


class Growing:
    """A file that is only appended to. Parts are gathered, and joined before they are written: threads that do little
    at a time get into each other's way at Python's lock, which costs more than the copy."""

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path = path
        self.size = size
        self._file = path.open("r+b" if size else "wb", 0)
        self._parts: list[bytes] = []
        self._gathered = 0
        if size:
            self._file.truncate(size)
            self._file.seek(size)

    def write(self, part: bytes) -> None:
        """Append."""
        self._parts.append(part)
        self._gathered += len(part)
        self.size += len(part)
        if self._gathered >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Hand what was gathered to the system."""
        data = memoryview(b"".join(self._parts))
        self._parts, self._gathered = [], 0
        while data:
            data = data[self._file.write(data) :]

    def finish(self) -> None:
        """Write what is still in memory, and let go of the file."""
        try:
            self.flush()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file as it is."""
        self._file.close()


class Workspace:
    """A folder for one export, which one process at a time has. `state`: what the latest checkpoint noted.

    `fingerprint` stands for what is to be made: a folder that was begun for something else is emptied first.
    Raises BlockingIOError when another process works in it, OSError when it cannot be written.
    """

    def __init__(self, folder: Path, fingerprint: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._fingerprint = fingerprint
        self._growing: dict[str, Growing] = {}
        self._spent: list[Path] = []
        self._threads: list[ThreadPoolExecutor] = []
        self._lock = (folder / _LOCK).open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.state, self._sizes = self._noted()
        except BaseException:
            self._lock.close()
            raise

    def _noted(self) -> tuple[dict[str, Any], dict[str, int]]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = cast("dict[str, Any]", json.loads((self.folder / _NOTE).read_text()))
            sizes: dict[str, int] = note["sizes"]
            whole = all((self.folder / name).stat().st_size >= size for name, size in sizes.items())
            if whole and note["fingerprint"] == self._fingerprint and note["start"] == _start_of_the_machine():
                return note["state"], sizes
        for left in self.folder.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.name != _LOCK:
                left.unlink()
        return {}, {}

    def move(self, folder: Path) -> None:
        """Give the folder another name, before anything in it is opened."""
        self.folder = self.folder.rename(folder)

    def growing(self, name: str) -> Growing:
        """The file of this name, as long as it was at the checkpoint; an empty one when there was none then."""
        self._growing[name] = Growing(self.folder / name, self._sizes.pop(name, 0))
        return self._growing[name]

    def finished(self, name: str) -> Path:
        """The file of this name, which grows no more."""
        self._growing.pop(name).finish()
        return self.folder / name

    def thread(self) -> ThreadPoolExecutor:
        """A thread for work in the folder, done with it before its files are closed."""
        self._threads.append(ThreadPoolExecutor(1))
        return self._threads[-1]

    def spend(self, path: Path) -> None:
        """Remove a finished file at the next checkpoint: until then, who goes on from the one before needs it."""
        self._spent.append(path)

    def checkpoint(self, state: dict[str, Any]) -> None:
        """From here on the export goes on after a kill."""
        for growing in self._growing.values():
            growing.flush()
        sizes = {name: growing.size for name, growing in self._growing.items()}
        note = {"fingerprint": self._fingerprint, "start": _start_of_the_machine(), "sizes": sizes, "state": state}
        new = self.folder / f"{_NOTE}.new"
        new.write_text(json.dumps(note))
        new.replace(self.folder / _NOTE)
        for path in self._spent:
            path.unlink()
        self._spent = []

    def close(self) -> None:
        """Let go of the folder, which stays."""
        for thread in self._threads:
            thread.shutdown(cancel_futures=True)
        for growing in self._growing.values():
            growing.close()
        self._lock.close()

    def remove(self) -> None:
        """Let go of the folder, and remove what is left of it."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def _start_of_the_machine() -> str:
    """Another text after every start of this machine, and on every other; where none can be had, in every process."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]  # macOS
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5).stdout.strip()  # noqa: S603
    return uuid4().hex


def bring_to_disk(path: Path) -> None:
    """Wait until the disk has a finished file, or all in a folder, so that it outlives the machine too.

    Raises OSError for what the disk could not take.
    """
    if path.is_dir():
        os.sync()  # for thousands of small files much less than as many waits; but it does not tell of errors
        for each in path.rglob("*"):
            bring_name_to_disk(each)
    bring_name_to_disk(path)


def bring_name_to_disk(path: Path) -> None:
    """The same of a file alone, or of the names in a folder."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def blocks(path: Path, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a file."""
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, _BLOCK))):
            size -= len(block)
            yield block
