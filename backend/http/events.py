"""Live progress: what the database announces, told to all who follow a job.

One connection a process listens. However many follow a job, its state is read once for an announcement, at most five
times a second, once a second for two hundred followers, and encoded once. A follower holds no connection to the
database, and of what it was too slow to read only the latest state is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import anyio
import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.db import Database
from backend.errors import NotFound
from backend.services.progress import progress
from backend.services.reports import Report, report
from backend.services.states import CHANNEL

log = structlog.get_logger(__name__)

HEARTBEAT = 15.0
"""Seconds between comments, without which proxies close a connection on which nothing happens."""

_AT_MOST_EVERY = 0.2
_EACH_FOLLOWER = 0.004
"""Seconds more between two states, so that followers cost the machine about the same whether few or hundreds."""
_READS_AT_ONCE = 4
_SEND_TIMEOUT = 60.0
_LOOK_AFTER = 30.0
_LONGEST_PAUSE = 5.0
_AWAY = (SQLAlchemyError, psycopg.Error, OSError)
_VOLATILE = {"at", "seconds", "seconds_left", "images_per_second"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a run, encoded as an event. `id` is the same for the same state, whichever process read it."""

    id: str
    event: bytes
    settled: bool


@dataclass(slots=True)
class Watched:
    """A job that is followed. `news` is set, and replaced by a new one, with every new state, and at the end."""

    latest: Snapshot | None = None
    report: Report | None = None
    ended: bool = False
    followers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class Events:
    """One a process; `open_events` makes it. `stopping`: set it to end all streams when the process is to end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs: dict[int, Watched] = {}
        self._readers = set[asyncio.Task[None]]()
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)
        self.stopping = anyio.Event()
        self.followers = 0

    async def listen(self) -> None:
        """Hear the database's announcements for ever. After a time without connection every job counts as changed."""
        pause = 0.1
        while True:
            try:
                async with await self._database.listen(CHANNEL) as connection:
                    pause = 0.1
                    self._changed(None)
                    while True:
                        async for notification in connection.notifies(timeout=_LOOK_AFTER):
                            self._changed(notification.payload)
                        async with asyncio.timeout(_LOOK_AFTER):  # a connection may end without a word
                            await connection.execute("SELECT 1")
            except _AWAY as error:
                log.warning("cannot hear the database; trying again", error=str(error).strip(), seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def end_when_stopping(self) -> None:
        """Let all streams end once `stopping` is set."""
        await self.stopping.wait()
        self._end()

    async def close(self) -> None:
        """End what still reads from the database."""
        self._end()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _end(self) -> None:
        for watched in self._jobs.values():
            watched.ended = True
            watched.changed.set()
            watched.tell()

    def _changed(self, job: str | None) -> None:
        for number, watched in self._jobs.items():
            if job is None or job == str(number):
                watched.changed.set()

    @contextmanager
    def watching(self, crawl_job_id: int) -> Generator[Watched]:
        """The job's state is read for as long as somebody is in such a block."""
        watched = self._jobs.get(crawl_job_id)
        if watched is None:
            watched = self._jobs[crawl_job_id] = Watched(ended=self.stopping.is_set())
            reader = asyncio.create_task(self._read(crawl_job_id, watched))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        watched.followers += 1
        self.followers += 1
        try:
            yield watched
        finally:
            watched.followers -= 1
            self.followers -= 1
            if not watched.followers:
                watched.ended = True  # not cancelled: it may be in the middle of a transaction
                watched.changed.set()
                self._forget(crawl_job_id, watched)

    def _forget(self, crawl_job_id: int, watched: Watched) -> None:
        if self._jobs.get(crawl_job_id) is watched:
            del self._jobs[crawl_job_id]

    async def _read(self, crawl_job_id: int, watched: Watched) -> None:
        """Read the job's state whenever it has changed, until it is settled."""
        pause = _AT_MOST_EVERY
        while not watched.ended:
            watched.changed.clear()
            began = time.monotonic()
            try:
                watched.latest = await self._snapshot(crawl_job_id, watched)
                watched.ended |= watched.latest.settled
                pause = _AT_MOST_EVERY
            except NotFound:
                watched.ended = True
            except _AWAY:
                log.warning("cannot read a job that is followed", crawl_job=crawl_job_id, exc_info=True)
                watched.changed.set()
                pause = min(2 * pause, _LONGEST_PAUSE)
            if watched.ended:
                self._forget(crawl_job_id, watched)  # who comes now may see it tried again
                watched.tell()
                return
            watched.tell()
            pause_for_all = pause + _EACH_FOLLOWER * watched.followers
            await asyncio.sleep(max(0.0, began + pause_for_all - time.monotonic()))
            await watched.changed.wait()

    async def _snapshot(self, crawl_job_id: int, watched: Watched) -> Snapshot:
        async with self._reads, self._database.transaction() as session:
            watched.report = await report(session, crawl_job_id, watched.report)
            now = await progress(session, watched.report)
        state = now.model_dump_json(exclude=_VOLATILE)
        name = hashlib.sha256(state.encode()).hexdigest()[:20]
        event = ServerSentEvent(now.model_dump_json(), event="progress", id=name, sep="\n")
        return Snapshot(name, event.encode(), now.settled)


async def follow(watched: Watched, sent: str | None) -> AsyncGenerator[bytes]:
    """Every state that differs from the one sent last, and at the end the settled one."""
    while True:
        news, latest = watched.news, watched.latest
        if latest is not None and latest.id != sent:
            sent = latest.id
            yield latest.event
        if watched.ended and latest is watched.latest:
            return
        if not watched.ended:
            await news.wait()


class EventStream(Response):
    """Server-sent events of a job, from its present state on; nothing is sent twice to who says what it has.

    A browser comes back when a stream ends. If it has the settled state already, 204 tells it to stay away.
    """

    media_type = "text/event-stream"

    def __init__(self, events: Events, crawl_job_id: int, last_event_id: str | None) -> None:
        super().__init__()
        self._events, self._crawl_job_id, self._last = events, crawl_job_id, last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._events.watching(self._crawl_job_id) as watched:
            if watched.latest is None and not watched.ended:
                await watched.news.wait()
            latest = watched.latest
            if latest is not None and latest.settled and latest.id == self._last:
                await Response(status_code=204)(scope, receive, send)
                return
            stream = EventSourceResponse(
                follow(watched, self._last),
                ping=HEARTBEAT,
                ping_message_factory=_heartbeat,
                send_timeout=_SEND_TIMEOUT,
                shutdown_event=self._events.stopping,
                shutdown_grace_period=1.0,
            )
            with suppress(SendTimeoutError):  # it does not read any more
                await stream(scope, receive, send)


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent(comment="still there", sep="\n")


@asynccontextmanager
async def open_events(database: Database) -> AsyncGenerator[Events]:
    """Listens for as long as the block runs."""
    events = Events(database)
    tasks = [asyncio.create_task(task()) for task in (events.listen, events.end_when_stopping)]
    try:
        yield events
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await events.close()
