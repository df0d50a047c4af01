"""The folder in which an export grows, so that a killed export goes on where it was whole at last.

Its files are only ever appended to. A checkpoint brings them to the disk and notes how long each is, in a file that
replaces the note before it at once; whoever takes the folder over cuts the files back to that length. So the bytes of
an export that was killed, however often, are those of one that ran through. And since nothing is written twice, the
disk may take its time with a checkpoint while the files grow on.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

_NOTE = "checkpoint.json"
_LOCK = "lock"
_BLOCK = 2 << 20


class Growing:
    """A file that is only appended to. With `hashed` it knows the SHA-256 of what it holds.

    Parts are gathered, and joined before they are hashed and written: threads that do little at a time get into each
    other's way at Python's lock, which costs more than the copy. What is hashed is large, so a thread of its own hashes
    and writes it while the next parts are gathered; an OSError that it meets is raised by whoever writes or finishes
    next.
    """

    def __init__(self, path: Path, size: int = 0, *, hashed: bool = False) -> None:
        self.path = path
        self.size = size
        self._file = path.open("r+b" if size else "wb", 0)
        self._parts: list[bytes] = []
        self._gathered = 0
        self._sha256 = hashlib.sha256() if hashed else None
        self._thread = ThreadPoolExecutor(1) if hashed else None
        self._putting: Future[None] | None = None
        if size:
            self._file.truncate(size)
            self._file.seek(size)
            if self._sha256:
                for block in blocks(path, size):
                    self._sha256.update(block)

    def write(self, part: bytes) -> None:
        """Append."""
        self._parts.append(part)
        self._gathered += len(part)
        self.size += len(part)
        if self._gathered >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        parts, self._parts, self._gathered = self._parts, [], 0
        self._settle()
        if self._thread:
            self._putting = self._thread.submit(self._put, parts)
        else:
            self._put(parts)

    def _put(self, parts: Sequence[bytes]) -> None:
        data = memoryview(b"".join(parts))
        if self._sha256:
            self._sha256.update(data)
        while data:
            data = data[self._file.write(data) :]

    def _settle(self) -> None:
        putting, self._putting = self._putting, None
        if putting is not None:
            putting.result()

    def flushed(self) -> int:
        """Hand what was written to the system, whose disk need not have it yet; a descriptor of the file, to be closed
        by the caller."""
        self._flush()
        self._settle()
        return os.dup(self._file.fileno())

    def finish(self) -> str | None:
        """Write what is still in memory; the SHA-256 of all, in hexadecimal digits."""
        try:
            self._flush()
            self._settle()
        finally:
            self.close()
        return self._sha256.hexdigest() if self._sha256 else None

    def close(self) -> None:
        """Let go of the file as it is."""
        if self._thread:
            self._thread.shutdown()
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
        self._kept: list[Path] = []
        self._spent: list[Path] = []
        self._notary = ThreadPoolExecutor(1)
        self._noting: Future[None] | None = None
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
            if whole and note["fingerprint"] == self._fingerprint:
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

    def growing(self, name: str, *, hashed: bool = False) -> Growing:
        """The file of this name, as long as it was at the checkpoint; an empty one when there was none then."""
        self._growing[name] = Growing(self.folder / name, self._sizes.pop(name, 0), hashed=hashed)
        return self._growing[name]

    def finished(self, name: str) -> tuple[Path, str | None]:
        """The file of this name, which grows no more, and the SHA-256 of one that is hashed."""
        sha256 = self._growing.pop(name).finish()
        return self.folder / name, sha256

    def keep(self, path: Path) -> None:
        """Bring a file that others wrote to the disk with the next checkpoint, which counts on it."""
        self._kept.append(path)

    def spend(self, path: Path) -> None:
        """Remove a finished file at the next checkpoint: until then, who goes on from the one before needs it."""
        self._spent.append(path)

    def checkpoint(self, state: dict[str, Any]) -> None:
        """From here on the export goes on after a kill, as soon as the disk has it all: this waits for the checkpoint
        before only. Raises OSError that this one met."""
        self.settle()
        sizes = {name: growing.size for name, growing in self._growing.items()}
        note = json.dumps({"fingerprint": self._fingerprint, "sizes": sizes, "state": state})
        files = [growing.flushed() for growing in self._growing.values()]
        files += [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in self._kept]
        self._kept = []
        spent, self._spent = self._spent, []
        self._noting = self._notary.submit(self._note, files, note, spent)

    def _note(self, files: list[int], note: str, spent: list[Path]) -> None:
        try:
            for file in files:
                os.fdatasync(file)
        finally:
            for file in files:
                os.close(file)
        new = self.folder / f"{_NOTE}.new"
        new.write_text(note)
        new.replace(self.folder / _NOTE)
        for path in spent:
            path.unlink()

    def settle(self) -> None:
        """Wait for the latest checkpoint. Raises OSError that it met."""
        noting, self._noting = self._noting, None
        if noting is not None:
            noting.result()

    def close(self) -> None:
        """Let go of the folder, which stays."""
        self._notary.shutdown()
        for growing in self._growing.values():
            growing.close()
        self._lock.close()

    def remove(self) -> None:
        """Let go of the folder, and remove what is left of it."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def blocks(path: Path, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a file."""
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, _BLOCK))):
            size -= len(block)
            yield block
