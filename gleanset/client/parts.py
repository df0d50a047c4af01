"""A file that comes in parts: which of them are there, in which order the others come, and what remembers that."""

from __future__ import annotations

import json
import mmap
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Condition

PART = 4 << 20
"""Bytes. Before the first image can be read, as many of them come as there are threads."""


def journal_of(partial: Path) -> Path:
    """Where it stands what is there of the file."""
    return Path(f"{partial}s")


class Parts:
    """The file, and beside it the journal: which file it is to be, then a byte for each part.

    The last part comes first, since an archive's list of its files is in it; then those that `ask` names, then all from
    the first on. `news` is notified when a part has come. Raises OSError when the disk does not take it.
    """

    def __init__(self, partial: Path, sha256: str, size: int, news: Condition) -> None:
        self.folder, self.size, self._news = partial.parent, size, news
        self._head = json.dumps({"sha256": sha256, "size": size, "part": PART}).encode() + b"\n"
        self.count = (size + PART - 1) // PART
        self._flags = mmap.mmap(-1, max(1, self.count))  # of this process and those that are forked off
        mode = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.file = os.open(partial, mode, 0o600)
        known = journal_of(partial)
        self._notes = os.open(known, mode, 0o600)
        noted = known.read_bytes()
        if noted.startswith(self._head) and len(noted) == len(self._head) + self.count:
            self._flags[: self.count] = noted[len(self._head) :]
            self._line_up()
        else:
            self.forget()

    def forget(self) -> None:
        """Begin with nothing."""
        self._flags[:] = bytes(len(self._flags))
        os.ftruncate(self._notes, 0)
        os.ftruncate(self.file, 0)
        os.pwrite(self._notes, self._head + self._flags[: self.count], 0)
        self._line_up()

    def _line_up(self) -> None:
        missing = [number for number, there in enumerate(self._flags[: self.count]) if not there]
        with self._news:
            self._order = deque([*missing[-1:], *missing[:-1]])

    @property
    def had(self) -> int:
        """Bytes that are there in whole parts."""
        ranges = (self.span(number) for number, there in enumerate(self._flags[: self.count]) if there)
        return sum(end - start for start, end in ranges)

    @property
    def waiting(self) -> int:
        """How many parts nobody fetches yet."""
        return len(self._order)

    def take(self) -> int | None:
        """The part to fetch next."""
        with self._news:
            return self._order.popleft() if self._order else None

    def ask(self, *spans: tuple[int, int]) -> None:
        """Let what is missing of these bytes, each from a place on and so many, come next, in this order."""
        with self._news:
            waiting = set(self._order)
            wanted = dict.fromkeys(number for span in spans for number in self._numbers(*span) if number in waiting)
            if wanted:
                self._order = deque([*wanted, *(number for number in self._order if number not in wanted)])

    def has(self, at: int, length: int) -> bool:
        """Whether these bytes are there."""
        numbers = self._numbers(at, length)
        return 0 not in self._flags[numbers.start : numbers.stop]

    def _numbers(self, at: int, length: int) -> range:
        """The parts that these bytes are in."""
        end = min(self.size, at + length)
        return range(min(at, end) // PART, (end + PART - 1) // PART)

    def span(self, number: int) -> tuple[int, int]:
        """From where to where a part goes."""
        return number * PART, min(self.size, (number + 1) * PART)

    def write(self, at: int, data: bytes) -> None:
        """Put bytes to their place."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self.file, view, at)
            at, view = at + written, view[written:]

    def done(self, number: int) -> None:
        """A part is there."""
        self._flags[number] = 1
        os.pwrite(self._notes, b"\1", len(self._head) + number)
        with self._news:
            with suppress(ValueError):
                self._order.remove(number)
            self._news.notify_all()

    def close(self) -> None:
        """Let go of the files; what is there is known all the same."""
        with self._news:
            os.close(self.file)
            os.close(self._notes)
            self.file = -1
