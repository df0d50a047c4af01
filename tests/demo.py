"""The demo's web beside an application: a crawl that is asked for in a browser finds pictures on this machine."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from backend.demo.web import DemoWeb
from backend.models import CrawlJob
from tests.api.working import worker
from tests.serving import Served


@contextmanager
def demo_web() -> Iterator[DemoWeb]:
    """It runs in a thread of its own."""
    ready = threading.Event()
    made: list[tuple[DemoWeb, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        async with DemoWeb() as web:
            stop = asyncio.Event()
            made.append((web, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="demo web", daemon=True)
    thread.start()
    assert ready.wait(30)
    web, loop, stop = made[0]
    try:
        yield web
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


@contextmanager
def demo_worker(served: Served, web: DemoWeb) -> Iterator[None]:
    """A worker process that takes the demo's web for Openverse."""
    settings = {
        "GLEANSET_HOSTS": json.dumps(dict(web.hosts)),
        "GLEANSET_SOURCE_URLS": json.dumps({"openverse": web.openverse_url}),
        "GLEANSET_INTERVAL": "0.01",
    }
    with worker(served, **settings):
        yield


def allow_loopback(served: Served, job_id: int) -> None:
    """What nobody can ask for in a browser: the job may go to this machine, and is not kept waiting by endless files.

    To be done before a worker takes the job up.
    """

    async def change(session: AsyncSession) -> None:
        job = await session.get_one(CrawlJob, job_id)
        job.options = {**job.options, "allow_private": True, "overrides": {"max_bytes": 2_000_000, "interval": 0.01}}

    served.run(change)
