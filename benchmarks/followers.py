"""What a crowd that follows a running job costs it: images/s with followers and without."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from backend.config import Settings
from backend.db import Database
from backend.models import CrawlJob
from backend.schemas.plans import CrawlPlan, UrlList
from backend.services import crawl_jobs, profiles
from benchmarks.contestants import DECODERS, Run, environment
from benchmarks.jobs import ended, workers
from benchmarks.report import Result, versions
from benchmarks.servers import key_of_owner, serving
from benchmarks.turns import Turns, take_turns
from benchmarks.web import pictures, scratch, write_list
from tests.nginx import Nginx

FOLLOWERS = 200
LEAST = 0.95
NONE, MANY = "nobody", f"{FOLLOWERS} followers"


def measure(*, quick: bool) -> Result:
    count, repetitions = (500, 1) if quick else (10_000, 5)
    files = pictures(min(count, 5_000))
    events: list[int] = []
    with scratch() as shared, Nginx(files[0].parent) as web:
        urls = shared / "list.txt"
        write_list(urls, web.base_url, [path.name for path in files], count)
        run = partial(_run_followed, urls=urls, events=events)
        turns = take_turns({NONE: partial(run, followers=0), MANY: partial(run, followers=FOLLOWERS)}, repetitions)
    return _result(turns, count, repetitions, events)


def _run_followed(folder: Path, urls: Path, events: list[int], followers: int) -> Run:
    return asyncio.run(_crawl(folder / "home", urls, events, followers))


async def _crawl(home: Path, urls: Path, events: list[int], followers: int) -> Run:
    """A crawl by a worker beside `gleanset serve`, by the job's own clock. `events`: those of who heard least."""
    plan = CrawlPlan(lists=[UrlList(path=str(urls))], allow_private=True, own_hosts=["127.0.0.1"])
    queries = crawl_jobs.plan_queries([], plan, rows_per_chunk=10_000)
    count = crawl_jobs.rows_of(queries)
    assert count is not None
    async with Database.ready(Settings(home=home, database_url=None)) as database:
        async with database.transaction() as session:
            project = await profiles.project_named(session, await profiles.local_owner(session), "benchmark")
            job = await crawl_jobs.create(session, project, urls.name, [], plan, count, user_id=project.user_id)
            key = await key_of_owner(session)
        with (
            serving(home) as (url, _),
            workers(home, 1, DECODERS) as worker,
            _following(url, job, key, followers, events),
        ):
            async with database.transaction() as session:
                await crawl_jobs.start(session, job.id, queries, user_id=None)
            job = await ended(database, job.id, worker)
    if job.downloaded_images != count or job.started_at is None or job.completed_at is None:
        raise SystemExit(f"gleanset got {job.downloaded_images} of {count}: {job.status}, {job.error_message}")
    return Run(count, (job.completed_at - job.started_at).total_seconds())


@contextmanager
def _following(url: str, job: CrawlJob, key: str, followers: int, events: list[int]) -> Generator[None]:
    """So many followers in a process of their own, from when they have all heard something until the job has ended."""
    if not followers:
        yield
        return
    command = [sys.executable, "-m", "benchmarks.followers", url, str(job.id), key, str(followers)]
    following = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert following.stdout is not None
        if following.stdout.readline() != "following\n":
            raise SystemExit("The followers did not get to follow.")
        time.sleep(1)
        yield
        output, _ = following.communicate(timeout=60)
        counts: list[int] = json.loads(output)
        if len(counts) != followers or min(counts) < 2:
            raise SystemExit(f"Some of {len(counts)} followers heard only {min(counts)} events.")
        events.append(min(counts))
    finally:
        following.kill()
        following.wait()


def _result(turns: Turns, count: int, repetitions: int, events: list[int]) -> Result:
    ratio = turns.ratio(MANY, NONE, own=True)
    return Result(
        title=f"Followers of a running job: crawl of {count:,} JPEGs by a worker, `gleanset serve` beside it",
        columns=("who follows", "images/s, own clock", "spread", f"of nobody's; {LEAST} to reach"),
        rows=[(name, *turns.cells(name, own=True), f"{turns.ratio(name, NONE, own=True):.3f}") for name in turns.runs],
        figures={"images": count, "images_per_second": turns.figures()["own_clock"], "ratio": ratio, "events": events},
        notes=(
            f"{repetitions} repetitions, taking turns, each with a database and servers of its own; the ratio is the"
            " median of ratios to neighbours in time.",
            f"Followers are {FOLLOWERS} streams of `GET .../events` in one process on the same machine, which"
            " reads them and does nothing else; what it takes of the cores counts."
            f" Who heard least heard {min(events)} states.",
        ),
        commands=("gleanset serve", "gleanset worker"),
        versions=versions("fastapi", "uvicorn", "sse-starlette", "psycopg", "sqlalchemy"),
    )


async def _follow(url: str, job_id: str, key: str, count: int) -> list[int]:
    """Events that each follower got, to the end of its stream."""
    host, port = url.removeprefix("http://").split(":")
    request = f"GET /api/v1/crawl-jobs/{job_id}/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n"
    heard = [asyncio.Event() for _ in range(count)]

    async def follow(number: int) -> int:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request.encode())
        events = 0
        while line := await reader.readline():
            if line.startswith(b"event: progress"):
                events += 1
                heard[number].set()
            if line == b"0\r\n":
                break
        writer.close()
        return events

    following = asyncio.gather(*(follow(number) for number in range(count)))
    await asyncio.gather(*(each.wait() for each in heard))
    print("following", flush=True)
    return await following


if __name__ == "__main__":
    at, job_number, secret, many = sys.argv[1:]
    print(json.dumps(asyncio.run(_follow(at, job_number, secret, int(many)))))
