"""`gleanset worker`: processes that run whatever is in the queue."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from typing import Annotated

import structlog
import typer

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

    Ctrl-C or SIGTERM stops gently: what is under way goes back to the queue. A worker that is killed is noticed by
    the others, and its work is done again from where it was recorded.
    """
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    asyncio.run(_work(parent) if processes == 1 else _supervise(processes))


def _stop_requested() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _work(parent: int | None) -> None:
    settings = get_settings()
    stop = _stop_requested()
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
    """Keep `count` worker processes running; one that dies is replaced."""
    settings = get_settings()
    stop = _stop_requested()
    # Held open here, so that the embedded server is started once and outlives the children.
    async with await asyncio.to_thread(Database.ready, settings):
        children = [await _spawn() for _ in range(count)]
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.5)
            for place, child in enumerate(children):
                if child.returncode is not None and not stop.is_set():
                    log.warning("worker process ended, starting another", pid=child.pid, code=child.returncode)
                    children[place] = await _spawn()
        for child in children:
            if child.returncode is None:
                child.terminate()
        await asyncio.gather(*(child.wait() for child in children))


async def _spawn() -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.cli", "worker", "--parent", str(os.getpid())
    )
