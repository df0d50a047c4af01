"""An export fetched in parts by several threads, taken up again where it was left, and held to its manifest."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread

from gleanset.client.coming import Coming
from gleanset.client.http import Answer, Http
from gleanset.client.parts import Parts, journal_of
from gleanset.errors import DownloadError, Unreachable
from gleanset.export.verify import is_export

_PIECE = 1 << 18
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


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


def fetch(http: Http, remote: Remote, target: Path, coming: Coming) -> None:
    """Bring the file to `target`, which is there only when it is whole. The caller holds a lock.

    What another process, or this one, had of it before it was interrupted is not fetched again. Raises DownloadError,
    and what the server says no with.
    """
    partial = Path(f"{target}.part")
    try:
        with coming.parts(partial, remote.sha256, remote.size) as parts:
            for _ in range(2):
                had_some = parts.had > 0
                _fetch_parts(http, remote, parts, coming)
                if is_export(str(partial), remote.sha256):
                    partial.replace(target)
                    journal_of(partial).unlink(missing_ok=True)
                    return
                parts.forget()
                if not had_some:
                    break
            partial.unlink(missing_ok=True)
            journal_of(partial).unlink(missing_ok=True)
    except OSError as error:
        raise DownloadError(f"The download cannot be written to {target.parent}: {error.strerror or error}.") from error
    raise DownloadError("What came is not, whole and sound, the export the server tells of; nothing of it is kept.")


def _fetch_parts(http: Http, remote: Remote, parts: Parts, coming: Coming) -> None:
    free = shutil.disk_usage(parts.folder).free
    if free < remote.size - parts.had:
        raise DownloadError(
            f"The download needs {remote.size - parts.had:,} bytes in {parts.folder}; {free:,} are free."
        )
    try:
        _in_threads(_Fetching(http, remote, parts, coming))
    except _NoParts:
        parts.forget()
        _Fetching(http, remote, parts, coming).whole()
    if coming.stop.is_set() and not parts.has(0, remote.size):
        raise DownloadError("The dataset was closed before all of it had come; what came is kept.")


def _in_threads(work: _Fetching) -> None:
    running = [Thread(target=work.run, name="gleanset-download", daemon=True) for _ in range(work.most_threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    if work.failed is not None:
        raise work.failed


class _Fetching:
    """What the threads of one download share."""

    def __init__(self, http: Http, remote: Remote, parts: Parts, coming: Coming) -> None:
        self._http, self._remote, self._parts, self._coming = http, remote, parts, coming
        self.most_threads = min(coming.threads, parts.waiting)
        self.failed: BaseException | None = None
        self._had, self._counting = parts.had, Lock()

    @property
    def _stopped(self) -> bool:
        return self.failed is not None or self._coming.stop.is_set()

    def run(self) -> None:
        """Fetch part after part until none is left, or another thread has failed."""
        try:
            while not self._stopped and (number := self._parts.take()) is not None:
                self._part(number)
        except BaseException as error:
            self.failed = self.failed or error

    def _part(self, number: int) -> None:
        """A connection that breaks is made again from where it broke; only without any progress it is given up."""
        at, end = self._parts.span(number)
        attempt = 1
        while at < end:
            before = at
            try:
                for data in self._pieces(at, end):
                    self._parts.write(at, data)
                    at += len(data)
                    self._count(len(data))
                    if self._stopped and at < end:
                        return
            except Unreachable:
                attempt = 2 if at > before else attempt + 1
                if attempt > self._http.patience.attempts:
                    raise
                if self._coming.stop.wait(self._http.patience.before(attempt)):
                    return
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
        at = number = 0
        with self._http.open(self._remote.path, {}) as answer:
            _check_same(answer, self._remote)
            for data in _limited(answer, self._remote.size):
                self._parts.write(at, data)
                at += len(data)
                while number < self._parts.count and at >= self._parts.span(number)[1]:
                    self._parts.done(number)
                    number += 1
                self._count(len(data))
                if self._stopped:
                    return
        if at < self._remote.size:
            raise DownloadError(f"The download ended after {at:,} of {self._remote.size:,} bytes.")

    def _count(self, more: int) -> None:
        if self._coming.told is not None:
            with self._counting:
                self._had += more
                self._coming.told(self._had, self._remote.size)


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
