"""A service that has no more for today: its chunks wait for it, and hold no worker."""

from __future__ import annotations

import os
import signal
from typing import Any

from backend.config import Settings
from backend.db import Database
from backend.schemas.plans import CrawlPlan, Overrides
from backend.services import crawl_jobs, profiles
from tests.engine.sources.fake_openverse import FakeOpenverse, picture
from tests.tasks.conftest import StartWorker
from tests.tasks.helpers import job_of, rows, settled, until


def pictures(count: int) -> list[dict[str, Any]]:
    """None of them is to be had."""
    return [picture(n, url=f"http://127.0.0.1:1/{n}.jpg") for n in range(count)]


async def search(database: Database, settings: Settings, service: FakeOpenverse) -> int:
    plan = CrawlPlan(
        sources=["openverse"], allow_private=True, overrides=Overrides(source_urls={"openverse": service.url})
    )
    queries = crawl_jobs.plan_queries(["cats"], plan, rows_per_chunk=settings.rows_per_chunk)
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        project = await profiles.project_named(session, owner, "tests")
        job = await crawl_jobs.create(session, project, "Cats", ["cats"], plan, 1000, user_id=owner.id)
        await crawl_jobs.start(session, job.id, queries, user_id=owner.id)
        return job.id


_WAITS = "SELECT error_message FROM crawl_chunks WHERE status = 'pending' AND error_message LIKE 'Waiting for%%'"
_TASKS = "SELECT id, scheduled_at > now() + interval '23 hours' FROM procrastinate_jobs WHERE status = 'todo'"


async def test_a_used_up_day_is_waited_for_and_gone_on_with(
    database: Database, settings: Settings, start_worker: StartWorker
) -> None:
    async with FakeOpenverse(pictures(60), daily=2) as service:
        job_id = await search(database, settings, service)
        worker = start_worker()

        async def waits() -> bool:
            return bool(await rows(database, _WAITS))

        await until(waits)
        [(why,)] = await rows(database, _WAITS)
        assert why.startswith("Waiting for Openverse until 20")
        job = await job_of(database, job_id)
        assert (job.status, job.active_chunks, job.total_images) == ("running", 0, 40)
        assert [(task, True) for task in job.task_ids] == await rows(database, _TASKS)
        assert (len(service.asked), service.throttled) == (2, 0)

        os.kill(worker.pid, signal.SIGKILL)
        service.left["anon_sustained"] = 200  # a day passes
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql("UPDATE hosts SET quiet_until = now()")
            await connection.exec_driver_sql("UPDATE procrastinate_jobs SET scheduled_at = now()")
        start_worker()
        now = await settled(database, job_id)
    assert (now.status, now.crawl.total_images, now.waiting) == ("completed", 60, None)


async def test_who_waits_for_a_service_can_be_cancelled(
    database: Database, settings: Settings, start_worker: StartWorker
) -> None:
    async with FakeOpenverse(pictures(60), daily=1) as service:
        job_id = await search(database, settings, service)
        start_worker()

        async def waits() -> bool:
            return bool(await rows(database, _WAITS))

        await until(waits)
        async with database.transaction() as session:
            await crawl_jobs.cancel(session, job_id, user_id=None)
    assert (await job_of(database, job_id)).status == "cancelled"
    assert await rows(database, "SELECT id FROM procrastinate_jobs WHERE status = 'todo'") == []
