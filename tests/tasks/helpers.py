"""Making jobs from lists of URLs, waiting for them, and counting what came of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from backend.config import Settings
from backend.db import Database
from backend.models import CrawlJob
from backend.schemas.plans import CrawlPlan, ExportPlan, UrlList
from backend.services import crawl_jobs, profiles
from backend.services.reports import Report, report

Rows = list[tuple[Any, ...]]


async def start_job(
    database: Database,
    settings: Settings,
    urls: Sequence[str],
    *,
    max_images: int | None = None,
    export: bool = False,
    own_hosts: Sequence[str] = ("127.0.0.1",),
) -> int:
    """A running crawl job over a list of URLs; its id."""
    path = settings.home.parent / "list.txt"
    await asyncio.to_thread(path.write_text, "".join(f"{url}\n" for url in urls))
    plan = CrawlPlan(
        lists=[UrlList(path=str(path))],
        allow_private=True,
        own_hosts=list(own_hosts),
        rules={},
        export=ExportPlan() if export else None,
    )
    queries = crawl_jobs.plan_queries([], plan, rows_per_chunk=settings.rows_per_chunk)
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        project = await profiles.project_named(session, owner, "tests")
        job = await crawl_jobs.create(
            session, project, "A list", [], plan, max_images or len(urls), user_id=project.user_id
        )
        await crawl_jobs.start(session, job.id, queries, user_id=owner.id)
        return job.id


async def rows(database: Database, sql: str) -> Rows:
    async with database.engine.connect() as connection:
        return [tuple(row) for row in await connection.exec_driver_sql(sql)]


async def job_of(database: Database, job_id: int) -> CrawlJob:
    async with database.transaction() as session:
        return await session.get_one(CrawlJob, job_id)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0, *, every: float = 0.05) -> float:
    """Seconds until the condition held; fails the test when it does not in time."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        await asyncio.sleep(every)
    return time.monotonic() - began


async def settled(database: Database, job_id: int, seconds: float = 120.0) -> Report:
    """The report of the run when nothing more happens to it."""
    found: list[Report] = []

    async def is_settled() -> bool:
        async with database.transaction() as session:
            found[:] = [await report(session, job_id)]
        return found[0].settled

    await until(is_settled, seconds)
    return found[0]


async def assert_accounted_for(
    database: Database, settings: Settings, job_id: int, expected: dict[str, str | None]
) -> None:
    """Every URL has exactly one row with the outcome it must have, every counter adds up, every blob is there whole."""
    found = await rows(database, "SELECT original_url, reason, storage_url, file_size FROM images")
    assert Counter(url for url, *_ in found) == Counter(expected.keys())
    assert {url: reason for url, reason, *_ in found} == expected
    for _, reason, storage_url, size in found:
        assert (storage_url is None) == (reason is not None)
        if storage_url is not None:
            assert Path(unquote(urlsplit(storage_url).path)).stat().st_size == size
    job = await job_of(database, job_id)
    downloads = sum(reason is None for reason in expected.values())
    assert (job.total_images, job.downloaded_images) == (len(expected), downloads)
    [sums] = await rows(
        database,
        "SELECT sum(total_images), sum(downloaded_images), count(*), count(*) FILTER (WHERE status = 'completed')"
        " FROM crawl_chunks",
    )
    assert sums == (job.total_images, job.downloaded_images, job.total_chunks, job.completed_chunks)
    assert job.active_chunks == job.failed_chunks == 0
    async with database.transaction() as session:
        assert await crawl_jobs.failures(session, job_id) == Counter(r for r in expected.values() if r)
