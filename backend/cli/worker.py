"""`gleanset worker`: processes that run whatever is in the queue."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import Annotated

import structlog
import typer

from backend import logs
from backend.cli.processes import Stop, Workers
from backend.cli.run import working
from backend.config import get_settings
from backend.db import Database

log = structlog.get_logger(__name__)


def worker(
    *,
    processes: Annotated[
        int, typer.Option("--processes", "-p", min=1, help="Worker processes; one a core is right.")
    ] = 1,
    parent: Annotated[int | None, typer.Option(hidden=True, help="Stop when this process is gone.")] = None,
) -> None:
    """Run crawls, validations and exports from the queue until stopped, on as many machines as you like.

    Ctrl-C or SIGTERM stops gently, within a few seconds: images that have come are recorded, and what is left goes
    back to the queue. A worker that is killed is noticed by the others, and its work is done again from where it was
    recorded.
    """
    logs.configure(get_settings(), logging.INFO)
    asyncio.run(_work(parent) if processes == 1 else _supervise(processes))


async def _work(parent: int | None) -> None:
    settings = get_settings()
    stop = Stop().asked
    async with await asyncio.to_thread(Database.ready, settings) as database:
        async with working(settings, database, None) as work:
            log.info("worker is ready", pid=os.getpid())
            while not stop.is_set() and not work.done() and parent in {None, os.getppid()}:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1.0)
            if work.done():
                work.result()
        log.info("worker has stopped", pid=os.getpid())


async def _supervise(count: int) -> None:
    stop = Stop()
    # Held open here, so that the embedded server is started once and outlives the children.
    async with await asyncio.to_thread(Database.ready, get_settings()):
        await Workers(count).run(stop)
