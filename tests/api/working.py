"""A worker process beside the web application, and jobs that may visit the tests' own servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob
from tests.serving import Served


@contextmanager
def worker(served: Served, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """`gleanset worker` on the application's database and data folder; killed at the end."""
    environment = {
        **os.environ,
        "GLEANSET_HOME": str(served.settings.home),
        "DATABASE_URL": str(served.settings.database_url),
        "GLEANSET_HEARTBEAT": "0.3",
        **settings,
    }
    log = Path(served.settings.home) / f"worker-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "worker"], env=environment, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def trust_loopback(served: Served, job_id: int, **plan: Any) -> None:
    """What no caller of the API can ask for: the job may go to this machine's own servers."""

    async def change(session: AsyncSession) -> None:
        job = await session.get_one(CrawlJob, job_id)
        job.options = {**job.options, "allow_private": True, "own_hosts": ["127.0.0.1"], **plan}

    served.run(change)


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What the condition gives as soon as it is true; fails the test when that takes too long."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def ended(client: httpx.Client, path: str) -> Any:
    """The job when it has ended."""

    def look() -> Any:
        job = client.get(path).json()
        return job if job["status"] in {"completed", "failed", "cancelled"} else None

    return until(look)
