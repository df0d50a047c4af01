"""Worker processes on one job: together they are as polite to a host as one of them alone."""

from __future__ import annotations

import os
import signal
import time

from aiohttp import web

from backend.config import Settings
from backend.db import Database
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
