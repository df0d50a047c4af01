"""Live progress over real sockets: what is sent to whom, when, and what becomes of lost connections."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from backend.http import events
from backend.models import CrawlJob
from backend.services import crawl_jobs
from tests.api.following import following
from tests.api.helpers import Jobs, Running
from tests.serving import Served


@pytest.fixture
def person(served: Served) -> Any:
    return served.person()


@pytest.fixture
def job(served: Served, person: Any, tmp_path: Path) -> Running:
    return Running(Jobs.of(served, person, tmp_path))


@pytest.fixture
def me(served: Served, person: Any) -> Iterator[httpx.Client]:
    with served.browser(person, limits=httpx.Limits(max_connections=300)) as client:
        yield client


def test_two_followers_see_the_same_and_the_stream_ends_with_the_job(me: httpx.Client, job: Running) -> None:
    with following(me, job.id) as first, following(me, job.id) as second:
        for follower in (first, second):
            follower.until(lambda it: it.downloads() == [0])
        for count in (1, 2, 3):
            job.gather()
            for follower in (first, second):
                follower.until(lambda it, count=count: it.downloads()[-1] == count)
        job.end()
        for follower in (first, second):
            follower.until(lambda it: it.ended)
    assert first.events == second.events
    assert [data["settled"] for _, data in first.events] == [False] * (len(first.events) - 1) + [True]
    assert len({name for name, _ in first.events}) == len(first.events), "every state has an id of its own"


def test_an_event_is_what_progress_tells(me: httpx.Client, job: Running) -> None:
    job.gather(3)
    with following(me, job.id) as follower:
        follower.until(lambda it: it.events)
    told = me.get(f"/api/v1/crawl-jobs/{job.id}/progress").json()
    volatile = {"at", "seconds", "seconds_left", "images_per_second"}
    assert {k: v for k, v in follower.events[0][1].items() if k not in volatile} == {
        k: v for k, v in told.items() if k not in volatile
    }


def test_who_comes_back_gets_nothing_twice_and_misses_nothing(me: httpx.Client, job: Running) -> None:
    with following(me, job.id) as follower:
        follower.until(lambda it: it.events)
    seen = follower.events[-1][0]
    with following(me, job.id, seen) as again:
        time.sleep(0.6)
        assert again.events == []
        job.gather()
        again.until(lambda it: it.downloads() == [1])
    job.gather()
    with following(me, job.id, seen) as late:
        late.until(lambda it: it.downloads() == [2])
    job.end()
    with following(me, job.id, seen) as last:
        last.until(lambda it: it.ended)
    assert [data["settled"] for _, data in last.events] == [True]
    settled = {"Last-Event-ID": last.events[0][0]}
    assert me.get(f"/api/v1/crawl-jobs/{job.id}/events", headers=settled).status_code == 204


def test_many_changes_come_as_few_events(me: httpx.Client, job: Running) -> None:
    with following(me, job.id) as follower:
        follower.until(lambda it: it.events)
        began = time.monotonic()
        for _ in range(60):
            job.gather()
        follower.until(lambda it: it.downloads()[-1] == 60)
        seconds = time.monotonic() - began
    assert len(follower.events) <= 3 + seconds / 0.2


def test_a_heartbeat_comes_when_nothing_happens(
    me: httpx.Client, job: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert events.HEARTBEAT == 15
    monkeypatch.setattr(events, "HEARTBEAT", 0.2)
    with following(me, job.id) as follower:
        follower.until(lambda it: len(it.comments) >= 3)
    assert len(follower.events) == 1


def test_a_lost_connection_to_the_database_is_made_again(served: Served, me: httpx.Client, job: Running) -> None:
    listening = text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                     " AND datname = current_database()")  # fmt: skip

    async def kill(session: Any) -> int:
        return (await session.scalars(listening)).one()

    with following(me, job.id) as follower:
        follower.until(lambda it: it.events)
        assert served.run(kill) == 1
        job.gather()  # while nobody listens, or just before
        follower.until(lambda it: it.downloads()[-1] == 1)
        job.gather()
        follower.until(lambda it: it.downloads()[-1] == 2)


def test_a_cancelled_job_and_one_that_is_tried_again(served: Served, me: httpx.Client, job: Running) -> None:
    with following(me, job.id) as follower:
        served.run(lambda session: crawl_jobs.cancel(session, job.id, user_id=None))
        follower.until(lambda it: it.ended)
    assert follower.events[-1][1]["status"] == "cancelled"
    served.run(lambda session: crawl_jobs.retry(session, job.id, user_id=None))
    with following(me, job.id) as again:
        again.until(lambda it: it.events)
        assert not again.ended
        assert again.events[0][1]["status"] == "running"


def test_a_follower_holds_no_transaction_and_is_forgotten(served: Served, me: httpx.Client, job: Running) -> None:
    idle = text("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()")

    async def open_transactions(session: Any) -> int:
        return (await session.scalars(idle)).one()

    with ExitStack() as stack:
        followers = [stack.enter_context(following(me, job.id)) for _ in range(20)]
        for follower in followers:
            follower.until(lambda it: it.events)
        assert served.run(open_transactions) == 0
        job.gather()
        for follower in followers:
            follower.until(lambda it: it.downloads()[-1] == 1)
    with following(me, job.id) as follower:
        follower.until(lambda it: it.events)


def test_only_those_who_may_see_the_job_follow_it(served: Served, other: httpx.Client, job: Running) -> None:
    assert other.get(f"/api/v1/crawl-jobs/{job.id}/events").status_code == 404
    with served.anonymous() as nobody:
        assert nobody.get(f"/api/v1/crawl-jobs/{job.id}/events").status_code == 401
    assert served.run(lambda session: session.get(CrawlJob, job.id)) is not None


SERVE = """
import asyncio, socket, sys, uvicorn
from backend.app import create_app
from backend.config import Settings
from backend.db import Database

async def main():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    async with Database(sys.argv[1]) as database:
        app = create_app(Settings(), database)
        print(listening.getsockname()[1], flush=True)
        await uvicorn.Server(uvicorn.Config(app, log_config=None)).serve([listening])

asyncio.run(main())
"""


def test_a_server_that_is_to_end_does_not_wait_for_followers(
    served: Served, me: httpx.Client, job: Running, tmp_path: Path
) -> None:
    environment = {**os.environ, "GLEANSET_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", SERVE, served.database.url]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        me.base_url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        with following(me, job.id) as first, following(me, job.id) as second:
            for follower in (first, second):
                follower.until(lambda it: it.events)
            process.terminate()
            for follower in (first, second):
                assert follower.until(lambda it: it.ended) < 2
        process.wait(5)
    finally:
        process.kill()
        process.communicate()
    assert "Traceback" not in (tmp_path / "log").read_text()


async def test_of_what_a_follower_is_too_slow_for_only_the_latest_is_kept() -> None:
    watched = events.Watched()
    taken = events.follow(watched, None)
    for number in range(1000):
        watched.latest = events.Snapshot(str(number), str(number).encode(), settled=number == 999)
        watched.tell()
        if number == 10:
            assert await anext(taken) == b"10"
    watched.ended = True
    assert [event async for event in taken] == [b"999"]
