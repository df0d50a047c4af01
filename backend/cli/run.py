"""What commands share: opening the database, running a worker beside them, following a job."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from backend import queue
from backend.cli.display import Display
from backend.config import Settings
from backend.db import Database, libpq_url
from backend.errors import DatabaseUnavailable
from backend.services.reports import Report, report
from backend.services.states import CHANNEL

_LOOK_AT_LEAST_EVERY = 1.0
_LOOK_AT_MOST_EVERY = 0.2


class Interrupted(Exception):
    """A person pressed Ctrl-C, or the process was asked to end, while the job was under way."""

    def __init__(self, crawl_job_id: int, export_job_id: int | None = None) -> None:
        super().__init__()
        self.way_on = f"gleanset jobs retry {crawl_job_id}"
        if export_job_id is not None:
            self.way_on = f"gleanset exports retry {export_job_id}"


@asynccontextmanager
async def working(
    settings: Settings, database: Database, crawl_job_id: int | None
) -> AsyncGenerator[asyncio.Task[None]]:
    """A worker in this process, for one job's queue or for all queues."""
    from backend.tasks.runtime import open_runtime  # OpenCV and more: half a second that most commands do without

    async with (
        open_runtime(settings, database) as runtime,
        queue.worker(
            libpq_url(database.url),
            {"runtime": runtime},
            queues=None if crawl_job_id is None else [queue.queue_of(crawl_job_id)],
            concurrency=settings.chunks_at_once,
            heartbeat=settings.heartbeat,
        ) as work,
    ):
        try:
            yield work
        finally:
            runtime.stopping.set()


async def run_to_end(
    settings: Settings, database: Database, crawl_job_id: int, display: Display, export_job_id: int | None = None
) -> Report:
    """Work on the job in this process and follow it, or one export of it, until that is settled.

    Raises Interrupted when SIGINT or SIGTERM comes first; what was under way is back in the queue then.
    """
    me = asyncio.current_task()
    assert me is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, me.cancel)
    try:
        async with working(settings, database, crawl_job_id) as work:
            return await follow(database, crawl_job_id, display, work, export_job_id)
    except asyncio.CancelledError:
        raise Interrupted(crawl_job_id, export_job_id) from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def follow(
    database: Database,
    crawl_job_id: int,
    display: Display,
    work: asyncio.Task[None],
    export_job_id: int | None = None,
) -> Report:
    """Show the job's progress until it is settled; looks when the database announces a change of it."""
    connection = await database.listen(CHANNEL)
    changed = asyncio.Event()
    listener = asyncio.create_task(_listen(connection, lambda job: changed.set() if job == crawl_job_id else None))
    try:
        with display:
            while True:
                async with database.transaction() as session:
                    now = await report(session, crawl_job_id, export_job_id=export_job_id)
                display.show(now)
                if now.settled:
                    return now
                if work.done():
                    work.result()
                    raise DatabaseUnavailable("The worker ended before the job did.")
                await asyncio.sleep(_LOOK_AT_MOST_EVERY)
                try:
                    async with asyncio.timeout(_LOOK_AT_LEAST_EVERY):
                        await changed.wait()
                except TimeoutError:
                    pass
                changed.clear()
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        await connection.close()


async def _listen(connection: Any, heard: Callable[[int], None]) -> None:
    async for notification in connection.notifies():
        heard(int(notification.payload))
