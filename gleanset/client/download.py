"""An export fetched in parts by several threads, taken up again where it was left, and held to its manifest."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gleanset.client.http import Answer, Http
from gleanset.errors import DownloadError, Unreachable
from gleanset.export.verify import is_export

THREADS = 4
PART = 8 << 20
_PIECE = 1 << 18
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

Fetched = Callable[[int, int], object]
"""Told how many bytes are there, of how many."""


@dataclass(frozen=True, slots=True)
class Remote:
    """An export's file on the server: where it is, its bytes, and the SHA-256 that its manifest has to have."""

    path: str
    size: int
    sha256: str

    @property
    def tag(self) -> str:
        return f'"{self.sha256}"'


class _NoParts(Exception):
    """The server, or something before it, sends the whole file when it is asked for a part."""


def fetch(http: Http, remote: Remote, target: Path, *, threads: int = THREADS, told: Fetched | None = None) -> None:
    """Bring the file to `target`, which is there only when it is whole. The caller holds a lock.

    What another process, or this one, had of it before it was interrupted is not fetched again. Raises DownloadError,
    and what the server says no with.
    """
    partial = Path(f"{target}.part")
    try:
        for resumed in (True, False):
            with closing(_Parts(partial, remote)) as parts:
                if not resumed:
                    parts.forget()
                had_some = parts.had > 0
                _fetch_parts(http, remote, parts, threads, told)
            if is_export(str(partial), remote.sha256):
                partial.replace(target)
                _journal(partial).unlink(missing_ok=True)
                return
            if not had_some:
                break
        partial.unlink(missing_ok=True)
        _journal(partial).unlink(missing_ok=True)
    except OSError as error:
        raise DownloadError(f"The download cannot be written to {target.parent}: {error.strerror or error}.") from error
    raise DownloadError("What came is not, whole and sound, the export the server tells of; nothing of it is kept.")


def _fetch_parts(http: Http, remote: Remote, parts: _Parts, threads: int, told: Fetched | None) -> None:
    free = shutil.disk_usage(parts.folder).free
    if free < remote.size - parts.had:
        raise DownloadError(
            f"The download needs {remote.size - parts.had:,} bytes in {parts.folder}; {free:,} are free."
        )
    try:
        _in_threads(_Fetching(http, remote, parts, told), threads)
    except _NoParts:
        parts.forget()
        _Fetching(http, remote, parts, told).whole()


def _in_threads(work: _Fetching, threads: int) -> None:
    with ThreadPoolExecutor(threads, "gleanset-download") as pool:
        running = [pool.submit(work.run) for _ in range(min(threads, len(work.left)))]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:  # also when a person interrupts it
            work.stop.set()
    for each in running:
        each.result()


class _Fetching:
    """What the threads of one download share."""

    def __init__(self, http: Http, remote: Remote, parts: _Parts, told: Fetched | None) -> None:
        self._http, self._remote, self._parts, self._told = http, remote, parts, told
        self.left = deque(parts.missing())
        self.stop = threading.Event()
        self._had, self._counting = parts.had, threading.Lock()

    def run(self) -> None:
        """Fetch part after part until none is left, or another thread has failed."""
        while not self.stop.is_set():
            try:
                number = self.left.popleft()
            except IndexError:
                return
            try:
                self._part(number)
            except BaseException:
                self.stop.set()
                raise

    def _part(self, number: int) -> None:
        """A connection that breaks is made again from where it broke; only without any progress it is given up."""
        at, end = self._parts.range(number)
        attempt = 1
        while at < end:
            before = at
            try:
                for data in self._pieces(at, end):
                    self._parts.write(at, data)
                    at += len(data)
                    self._count(len(data))
                    if self.stop.is_set():
                        return
            except Unreachable:
                attempt = 2 if at > before else attempt + 1
                if attempt > self._http.patience.attempts:
                    raise
                time.sleep(self._http.patience.before(attempt))
        self._parts.done(number)

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={start}-{end - 1}", "If-Range": self._remote.tag}
        with self._http.open(self._remote.path, headers) as answer:
            if answer.status == 200:
                _check_same(answer, self._remote)
                raise _NoParts
            sent = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status != 206 or sent is None or tuple(map(int, sent.groups())) != (
                start, end - 1, self._remote.size,
            ):  # fmt: skip
                raise DownloadError("The server sent another part of the file than was asked for.")
            _check_same(answer, self._remote)
            yield from _limited(answer, end - start)

    def whole(self) -> None:
        """The file from its beginning to its end, over one connection."""
        at = 0
        with self._http.open(self._remote.path, {}) as answer:
            _check_same(answer, self._remote)
            for data in _limited(answer, self._remote.size):
                self._parts.write(at, data)
                at += len(data)
                self._count(len(data))
        if at < self._remote.size:
            raise DownloadError(f"The download ended after {at:,} of {self._remote.size:,} bytes.")

    def _count(self, more: int) -> None:
        if self._told is not None:
            with self._counting:
                self._had += more
                self._told(self._had, self._remote.size)


def _check_same(answer: Answer, remote: Remote) -> None:
    """An export that is made again, or was tampered with, has another tag. A proxy that packs it anew makes it weak."""
    tag = answer.headers.get("ETag")
    if tag is not None and tag.removeprefix("W/") != remote.tag:
        raise DownloadError("The file on the server is another one now. Load the export again.")


def _limited(answer: Answer, most: int) -> Iterator[bytes]:
    while data := answer.read1(_PIECE):  # not `read`, which gives nothing of a piece that is cut off
        most -= len(data)
        if most < 0:
            raise DownloadError("The server sent more than the file has.")
        yield data


def _journal(partial: Path) -> Path:
    return Path(f"{partial}s")


class _Parts:
    """A file that is not whole yet, and beside it the journal: which file it is to be, then a byte for each part."""

    def __init__(self, partial: Path, remote: Remote) -> None:
        self.folder, self._size = partial.parent, remote.size
        self._head = json.dumps({"sha256": remote.sha256, "size": remote.size, "part": PART}).encode() + b"\n"
        self._flags = bytearray((remote.size + PART - 1) // PART)
        known = _journal(partial)
        mode = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(partial, mode, 0o600)
        self._notes = os.open(known, mode, 0o600)
        noted = known.read_bytes()
        if noted.startswith(self._head) and len(noted) == len(self._head) + len(self._flags):
            self._flags[:] = noted[len(self._head) :]
        else:
            self.forget()

    def forget(self) -> None:
        """Begin with nothing."""
        self._flags[:] = bytes(len(self._flags))
        os.ftruncate(self._notes, 0)
        os.ftruncate(self._file, 0)
        os.pwrite(self._notes, self._head + self._flags, 0)

    @property
    def had(self) -> int:
        """Bytes that are there in whole parts."""
        ranges = (self.range(number) for number, there in enumerate(self._flags) if there)
        return sum(end - start for start, end in ranges)

    def missing(self) -> list[int]:
        return [number for number, there in enumerate(self._flags) if not there]

    def range(self, number: int) -> tuple[int, int]:
        return number * PART, min(self._size, (number + 1) * PART)

    def write(self, at: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, at)
            at, view = at + written, view[written:]

    def done(self, number: int) -> None:
        self._flags[number] = 1
        os.pwrite(self._notes, b"\1", len(self._head) + number)

    def close(self) -> None:
        os.close(self._file)
        os.close(self._notes)
