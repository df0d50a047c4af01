"""Worker processes on one job: together they are as polite to a host as one of them alone."""

from __future__ import annotations

import os
import signal
import time

import pytest
from aiohttp import web

from backend.config import Settings
from backend.db import Database
from backend.errors import IllegalMove
from backend.services import crawl_jobs
from tests.tasks.conftest import StartWorker
from tests.tasks.helpers import assert_accounted_for, job_of, settled, start_job, until
from tests.web import PictureWeb, expected

AT_ONCE, INTERVAL = 2, 0.1


class Watched(PictureWeb):
    """Notes when it was asked, and how many at most at once; a robots.txt closes numbers that end with 3."""

    def __init__(self, delay: float) -> None:
        super().__init__(delay)
        self.times: list[float] = []
        self.busy = self.busiest = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.times.append(time.monotonic())
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            return await super().answer(request)
        finally:
            self.busy -= 1

    async def rules(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        return web.Response(text="User-agent: gleanset\nDisallow: /*3.jpg$\n")


class Strained(PictureWeb):
    """Wants quiet for a while after the tenth picture."""

    def __init__(self, quiet: int) -> None:
        super().__init__()
        self.quiet = quiet
        self.pictures = self.hasty = 0
        self.until: float | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.pictures += 1
        if self.pictures == 10:
            self.until = time.monotonic() + self.quiet
            return web.Response(status=429, headers={"Retry-After": str(self.quiet)})
        self.hasty += self.until is not None and self.until - self.quiet + 0.5 < time.monotonic() < self.until - 0.5
        return await super().answer(request)


def outcome(number: int) -> str | None:
    return "robots" if number % 10 == 3 else expected(number)


async def test_three_processes_keep_the_pace_of_a_host_even_when_one_is_killed(
    database: Database, settings: Settings, environment: dict[str, str], start_worker: StartWorker
) -> None:
    environment |= {
        "GLEANSET_PER_HOST": str(AT_ONCE),
        "GLEANSET_INTERVAL": str(INTERVAL),
        "GLEANSET_ROWS_PER_CHUNK": "20",
    }
    settings.rows_per_chunk = 20
    web = Watched(delay=0.15)
    with web.served() as url:
        wanted = {f"{url}/{n}.jpg": outcome(n) for n in range(180)}
        job_id = await start_job(database, settings, list(wanted), own_hosts=())
        workers = [start_worker() for _ in range(3)]

        async def half() -> bool:
            return (await job_of(database, job_id)).total_images > 60

        await until(half)
        os.kill(workers[0].pid, signal.SIGKILL)
        assert (await settled(database, job_id)).status == "completed"
    await assert_accounted_for(database, settings, job_id, wanted)
    assert web.busiest == AT_ONCE
    # Over ten gaps, since a delay on the way makes one of two requests late, and their gap short.
    spans = [last - first for first, last in zip(sorted(web.times), sorted(web.times)[10:], strict=False)]
    assert min(spans) > 10 * INTERVAL - 0.2
    assert web.asked["/robots.txt"] == 1
    assert not any(path.endswith("3.jpg") for path in web.asked)


async def test_what_a_host_puts_off_is_had_after_a_kill_too(
    database: Database, settings: Settings, environment: dict[str, str], start_worker: StartWorker
) -> None:
    environment["GLEANSET_BATCH"] = "1"
    web = Strained(quiet=32)
    with web.served() as url:
        wanted = {f"{url}/{n}.jpg": expected(n) for n in range(100)}
        job_id = await start_job(database, settings, list(wanted), own_hosts=())
        worker = start_worker()

        async def put_off() -> bool:
            return web.until is not None and web.until - time.monotonic() < web.quiet - 2

        await until(put_off)
        os.kill(worker.pid, signal.SIGKILL)
        start_worker()
        assert (await settled(database, job_id)).status == "completed"
    await assert_accounted_for(database, settings, job_id, wanted)
    assert web.hasty <= 4, "those that were under way"


async def test_a_completed_job_tells_what_may_be_had_another_day(
    database: Database, settings: Settings, environment: dict[str, str], start_worker: StartWorker
) -> None:
    environment["GLEANSET_PATIENCE"] = "5"
    with Strained(quiet=60).served() as url:
        job_id = await start_job(database, settings, [f"{url}/{n}.jpg" for n in range(40)], own_hosts=())
        start_worker()
        now = await settled(database, job_id)
    assert (now.status, now.failures["rate_limited"]) == ("completed", 31)
    async with database.transaction() as session:
        with pytest.raises(IllegalMove, match=rf"31 of its images .* \(31 rate_limited\).*--refresh {job_id}"):
            await crawl_jobs.retry(session, job_id, user_id=None)
