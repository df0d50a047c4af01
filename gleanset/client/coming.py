"""An export's file on its way: a thread sees to it that it comes, while others read what is there already."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Event, Thread

from gleanset.client.parts import Parts
from gleanset.errors import DownloadError

THREADS = 4
_STOPS_WITHIN = 2.0
_LOOK_EVERY = 0.05

Fetched = Callable[[int, int], object]
"""Told how many bytes are there, of how many."""


class Coming:
    """`bring` puts the file to `place`, in a thread of its own, and uses the other members for it. What goes wrong
    there is raised by those who wait. Processes that are forked off may wait, too. Raises ValueError for no threads."""

    def __init__(
        self, place: Path, bring: Callable[[Coming], object], threads: int = THREADS, told: Fetched | None = None
    ) -> None:
        if threads < 1:
            raise ValueError(f"A download by {threads} threads never comes. Let there be one or more.")
        self.place, self.threads, self.told = place, threads, told
        self.stop = Event()
        self._news = Condition()
        self._parts: Parts | None = None
        self._error: BaseException | None = None
        self._over = mmap.mmap(-1, 1)  # of this process and those that are forked off
        self._process = os.getpid()
        self._thread = Thread(target=self._run, args=(bring,), name="gleanset-load", daemon=True)
        self._thread.start()

    def _run(self, bring: Callable[[Coming], object]) -> None:
        try:
            bring(self)
        except BaseException as error:
            self._error = error
        with self._news:
            self._over[0] = 1
            self._news.notify_all()

    @contextmanager
    def parts(self, partial: Path, sha256: str, size: int) -> Generator[Parts]:
        """The file's parts, to be fetched while the block runs; from now on they can be read."""
        parts = Parts(partial, sha256, size, self._news)
        with self._news:
            self._parts = parts
            self._news.notify_all()
        try:
            yield parts
        finally:
            parts.close()

    def opened(self) -> tuple[int, int] | None:
        """A descriptor of one's own for the file that is coming, and its size; None when it is at its place already."""
        with self._news:
            while not self._over[0] and self._parts is None:
                self._news.wait()
            if self._error is not None:
                raise self._error
            if self._parts is None or self._parts.file < 0:
                return None
            return os.dup(self._parts.file), self._parts.size

    @property
    def was_fetched(self) -> bool:
        """Whether it was not there before."""
        return self._parts is not None

    def whole(self) -> Path:
        """Wait until it is at its place, whole and sound."""
        self._wait(lambda: False)
        return self.place

    def has(self, at: int, length: int) -> bool:
        """Whether these bytes are there."""
        return self._parts is None or self._parts.has(at, length)

    def ask(self, *spans: tuple[int, int]) -> None:
        """Let these bytes, each from a place on and so many, come next."""
        if self._parts is not None and os.getpid() == self._process:
            self._parts.ask(*spans)

    def wait(self, at: int, length: int) -> None:
        """Wait until these bytes are there."""
        if not self.has(at, length):
            self.ask((at, length))
            self._wait(lambda: self.has(at, length))

    def _wait(self, enough: Callable[[], bool]) -> None:
        """Wait until it is enough, or all is there."""
        if os.getpid() != self._process:  # whose threads are not here, and whose locks may be held for ever
            while not enough() and not self._over[0] and _lives(self._process):
                time.sleep(_LOOK_EVERY)
            if not enough() and not self.place.exists():
                raise DownloadError("The process that fetched the export has ended before all of it had come.")
            return
        with self._news:
            while not enough() and not self._over[0]:
                self._news.wait()
            if not enough() and self._error is not None:
                raise self._error

    def close(self, *, at_once: bool = False) -> None:
        """Stop it; what came is kept. When nothing waits for its turn any more, wait for the end, unless `at_once`."""
        if os.getpid() != self._process:
            return
        with self._news:
            if at_once or self._parts is None or self._parts.waiting:
                self.stop.set()
            self._news.notify_all()
        self._thread.join(_STOPS_WITHIN if self.stop.is_set() else None)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
