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
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from gleanset.copying import Copies, Copy, Part, write_at

_NOTE = "checkpoint.json"
_LOCK = "lock"
_BLOCK = 8 << 20
"""Bytes that are gathered before they are written, and before copies are handed over."""
_AHEAD = 12
"""So much may be handed over that is not known to be there."""

Copier = Callable[[Copies], "Future[None]"]


class Growing:
    """A file that is only appended to. Parts are gathered before they are written, since there are many small ones;
    stored images among them are copied by whoever copies for the workspace."""

    def __init__(self, path: Path, size: int, copy: Callable[[Copy], None]) -> None:
        self.path = path
        self.size = size
        self._copy = copy
        self._file = path.open("r+b" if size else "wb", 0)
        self._parts: list[Part] = []
        self._gathered = 0
        if size:
            self._file.truncate(size)

    def write(self, part: Part) -> None:
        """Append."""
        self._parts.append(part)
        self._gathered += len(part)
        self.size += len(part)
        if self._gathered >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Hand what was gathered to the system, or to whoever copies."""
        parts, start = self._parts, self.size - self._gathered
        self._parts, self._gathered = [], 0
        known = [part for part in parts if isinstance(part, bytes)]
        if len(known) == len(parts):
            write_at(self._file.fileno(), known, start)
        else:
            self._copy(Copy(str(self.path), start, parts))

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
        self._copier: Copier | None = None
        self._gathered: list[Copy] = []
        self._gathered_bytes = 0
        self._begun: deque[Future[None] | Callable[[], None]] = deque()
        self._has_gap = False
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
        self._growing[name] = Growing(self.folder / name, self._sizes.pop(name, 0), self.copy)
        return self._growing[name]

    def finished(self, name: str) -> Path:
        """The file of this name, whole, which grows no more."""
        growing = self._growing.pop(name)
        try:
            growing.flush()
            self.settle()
        finally:
            growing.close()
        return self.folder / name

    def copy_by(self, copier: Copier) -> None:
        """Have copies made by somebody else, while whoever asks for them goes on."""
        self._copier = copier

    def copy(self, copy: Copy) -> None:
        """Have it made by the next checkpoint, or before anything is finished. Raises what an earlier one did."""
        if self._copier is None:
            copy()
            return
        self._gathered.append(copy)
        self._gathered_bytes += sum(map(len, copy.parts))
        if self._gathered_bytes >= _BLOCK:
            self._hand_over(self._copier)

    def _hand_over(self, copier: Copier) -> None:
        if self._gathered:
            self._begun.append(copier(Copies(self._gathered)))
            self._gathered, self._gathered_bytes = [], 0
        self.tend()

    def tend(self, all_but: int = _AHEAD) -> None:
        """See to what was begun, in its order: wait for all but so many, and take along what is done anyway. Raises
        what a copy did."""
        while self._begun and (len(self._begun) > all_but or _is_done(self._begun[0])):
            first = self._begun.popleft()
            if isinstance(first, Future):
                try:
                    first.result()
                except BaseException:
                    self._has_gap = True
                    raise
            elif not self._has_gap:  # behind one nothing is whole, and no note may say so
                first()

    def settle(self) -> None:
        """Wait for all copies, also for those behind one that failed, and write what was noted meanwhile. Raises what
        one of them did."""
        try:
            if self._copier is not None:
                self._hand_over(self._copier)
            self.tend(all_but=0)
        except BaseException:
            wait(cast("list[Future[None]]", [each for each in self._begun if isinstance(each, Future)]))
            raise

    def spend(self, path: Path) -> None:
        """Remove a finished file at the next checkpoint: until then, who goes on from the one before needs it."""
        self._spent.append(path)

    def checkpoint(self, state: dict[str, Any]) -> None:
        """From here on the export goes on after a kill, as soon as all that was to be copied so far is there."""
        for growing in self._growing.values():
            growing.flush()
        sizes = {name: growing.size for name, growing in self._growing.items()}
        note = {"fingerprint": self._fingerprint, "start": _start_of_the_machine(), "sizes": sizes, "state": state}
        spent, self._spent = self._spent, []
        if self._copier is not None:
            self._hand_over(self._copier)
        self._begun.append(partial(self._write, json.dumps(note), spent))
        self.tend()

    def _write(self, note: str, spent: list[Path]) -> None:
        new = self.folder / f"{_NOTE}.new"
        new.write_text(note)
        new.replace(self.folder / _NOTE)
        for path in spent:
            path.unlink()

    def close(self) -> None:
        """Let go of the folder, which stays."""
        for growing in self._growing.values():
            growing.close()
        self._lock.close()

    def remove(self) -> None:
        """Let go of the folder, and remove what is left of it."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _is_done(begun: Future[None] | Callable[[], None]) -> bool:
    return begun.done() if isinstance(begun, Future) else True


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
