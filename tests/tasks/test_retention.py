"""What is swept away when it is old enough, and what must never be, in a folder and behind a real S3 API."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from procrastinate.periodic import PeriodicDeferrer
from sqlalchemy import text
from typer.testing import CliRunner

from backend import queue
from backend.cli import app
from backend.config import Settings, get_settings
from backend.db import Database, libpq_url
from backend.models import (
    ApiKey,
    CrawlJob,
    ExportJob,
    IdempotencyKey,
    LoginFailure,
    LoginLink,
    LoginSession,
    Profile,
    Project,
)
from backend.schemas.plans import CrawlPlan
from backend.services import crawl_jobs, profiles
from backend.services.images import insert_outcomes
from backend.services.retention import STORE_TASK, TASK, sweep, sweep_store
from backend.tasks import retention
from gleanset.store import Store, blob_key, thumbnail_key
from tests.services.helpers import downloaded
from tests.stores import place, s3, s3_server
from tests.tasks.conftest import StartWorker
from tests.tasks.helpers import rows, until

__all__ = ["place", "s3", "s3_server"]

NOW = datetime.now(UTC)
OLD, YOUNG = NOW - timedelta(days=30), NOW - timedelta(minutes=5)


async def a_crawl(database: Database, *pictures: bytes) -> CrawlJob:
    """A finished crawl that has these pictures' rows."""
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        project = await profiles.project_named(session, owner, "tests")
        job = await crawl_jobs.create(session, project, "A job", ["x"], CrawlPlan(), 100, user_id=project.user_id)
        job.status = "completed"
        found = [
            downloaded(str(n), sha256=hashlib.sha256(data).hexdigest(), file_size=len(data))
            for n, data in enumerate(pictures)
        ]
        await insert_outcomes(session, job.id, found, lambda key: f"file:///{key}", None)
        return job


def key_of(data: bytes) -> str:
    return blob_key(hashlib.sha256(data).hexdigest(), "jpeg")


async def keys_of(store: Store) -> set[str]:
    listings = store.keys()
    return {key async for listing in listings for key in listing}


def counts(swept: list[Any]) -> dict[str, int]:
    return {each.what: each.count for each in swept if each.count}


async def an_export(database: Database, crawl: CrawlJob, folder: Path, **values: Any) -> tuple[int, Path]:
    """A completed export with its file, written long ago."""
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        given = {"status": "completed", "download_url": "file:///there", "expires_at": NOW + timedelta(days=1)} | values
        session.add(job := ExportJob(crawl_job_id=crawl.id, user_id=owner.id, name="E", **given))
        await session.flush()
    return job.id, a_file(folder / f"export-{job.id}.zip")


def a_file(path: Path, written: datetime = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"data")
    os.utime(path, (written.timestamp(),) * 2)
    return path


async def test_exports_expire_and_strays_go(database: Database, settings: Settings) -> None:
    crawl, folder = await a_crawl(database), settings.exports
    kept_id, kept = await an_export(database, crawl, folder)
    old_id, old = await an_export(database, crawl, folder, expires_at=OLD)
    taken_id, taken = await an_export(database, crawl, folder, taken_down_images=1)
    going_id, _ = await an_export(database, crawl, folder, status="running", download_url=None)
    part, left, busy = (folder / f"export-{of}.zip.1.part" for of in (going_id, kept_id, old_id))
    for each in (part, left, busy):
        a_file(each / "dataset", YOUNG if each is busy else OLD)
        os.utime(each, (OLD.timestamp(),) * 2)
    orphan, young = a_file(folder / "export-99999.zip"), a_file(folder / "export-99998.zip", YOUNG)
    huge = a_file(folder / "export-9999999999.tar.gz")
    theirs = a_file(folder / "my notes.txt")

    dry = counts(await sweep(settings, database, dry_run=True))
    assert all(path.exists() for path in (old, taken, left, orphan, huge))
    done = counts(await sweep(settings, database))
    assert done == dry == {"files of expired exports": 2, "other files among the exports": 3}
    assert [path.exists() for path in (old, taken, left, orphan, huge)] == [False] * 5
    assert all(path.exists() for path in (kept, part, young, theirs, busy, folder / f"export-{going_id}.zip"))
    gone = await rows(database, "SELECT id FROM export_jobs WHERE download_url IS NULL AND status = 'completed'")
    assert sorted(gone) == [(old_id,), (taken_id,)]
    log = await rows(database, "SELECT resource_id FROM activity_logs WHERE action = 'export_job.expired'")
    assert sorted(int(number) for (number,) in log) == [old_id, taken_id]
    assert counts(await sweep(settings, database)) == {}


async def test_an_index_goes_with_its_project(database: Database, settings: Settings) -> None:
    project_id = (await a_crawl(database)).project_id
    mine, strange, old, far = (settings.indexes / name for name in (f"{project_id}-31", "notes", "9999-31", "9999-64"))
    for folder in (mine, strange, old, far):
        a_file(folder / "index")
    wanted = {"indexes of deleted projects": 2}
    assert counts(await sweep(settings, database, dry_run=True)) == wanted
    assert old.exists()
    assert counts(await sweep(settings, database)) == wanted
    assert [folder.exists() for folder in (mine, strange, old, far)] == [True, True, False, False]
    async with database.transaction() as session:
        (await session.get_one(Project, project_id)).status = "deleted"
    assert counts(await sweep(settings, database)) == {"indexes of deleted projects": 1}
    assert not mine.exists()


async def test_rows_that_have_done_their_work(database: Database, settings: Settings) -> None:
    async with database.transaction() as session:
        owner = (await profiles.local_owner(session)).id
        for number, at in enumerate((OLD, NOW + timedelta(days=1))):
            token = hashlib.sha256(bytes([number])).digest()
            session.add_all(
                [
                    LoginSession(token_hash=token, user_id=owner, expires_at=at),
                    LoginLink(token_hash=token, user_id=owner, expires_at=at),
                    LoginFailure(key="somebody", at=at),
                    IdempotencyKey(
                        user_id=owner, key=str(number), request_hash=token, resource_type="crawl_jobs", resource_id=1,
                        created_at=at,
                    ),
                    ApiKey(
                        user_id=owner, name="k", prefix="gls_", secret_hash=token, scopes=["read"], expires_at=at
                    ),
                ]
            )  # fmt: skip
        for status in ("todo", "doing", "cancelled", "failed"):
            await session.execute(
                text("INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('job-1', 'x', :status)"),
                {"status": status},
            )
        ids = await session.scalars(text("SELECT id FROM procrastinate_jobs WHERE status IN ('cancelled', 'failed')"))
        await session.execute(text("UPDATE procrastinate_events SET at = now() - interval '8 days'"))
        young = await queue.defer(session, "crawl.chunk", 1)
        await queue.abort(session, [young])
        assert len(ids.all()) == 2
    wanted = {
        "expired sessions": 1, "expired log-in links": 1, "failed log-ins": 1, "keys of requests": 1, "ended tasks": 2,
    }  # fmt: skip
    assert counts(await sweep(settings, database, dry_run=True)) == wanted
    assert counts(await sweep(settings, database)) == wanted
    for table in ("sessions", "login_links", "login_failures", "idempotency_keys"):
        assert await rows(database, f"SELECT count(*) FROM {table}") == [(1,)]
    assert await rows(database, "SELECT count(*) FROM api_keys") == [(2,)], "who looks at the list still finds them"
    left = await rows(database, "SELECT CAST(status AS text) FROM procrastinate_jobs ORDER BY 1")
    assert left == [("cancelled",), ("doing",), ("todo",)]


async def test_many_rows_go_in_parts(database: Database, settings: Settings) -> None:
    filling = "SELECT 'x', now() - interval '2 days' FROM generate_series(1, 25000)"
    async with database.transaction() as session:
        await session.execute(text(f"INSERT INTO login_failures (key, at) {filling}"))
    assert counts(await sweep(settings, database)) == {"failed log-ins": 25_000}


def aged(settings: Settings, place: str) -> Settings:
    """The store's clock cannot be set back, so what counts as old is everything; `young` checks the other side."""
    return settings.model_copy(update={"store_url": place, "orphan_hours": 0})


async def test_blobs_and_thumbnails_that_belong_to_nothing(database: Database, settings: Settings, place: str) -> None:
    kept, lost, gone = (f"{name} picture".encode() for name in ("kept", "lost", "gone"))
    await a_crawl(database, kept)
    store = Store(place)
    for data in (kept, lost):
        await store.put(key_of(data), data)
    for data in (kept, lost, gone):
        await store.put(thumbnail_key(key_of(data)), b"small")
    await store.put("somebody/elses.txt", b"not ours")
    before = await keys_of(store)
    young = settings.model_copy(update={"store_url": place})
    assert counts(await sweep_store(young, database)) == {}, "it may belong to a row that is on its way"
    await asyncio.sleep(1.1)  # S3 tells whole seconds
    old = aged(settings, place)
    dry = counts(await sweep_store(old, database, dry_run=True))
    assert dry["blobs without an image"] == 1
    assert await keys_of(store) == before
    done = counts(await sweep_store(old, database))
    assert done["blobs without an image"] == 1
    assert await keys_of(store) == {key_of(kept), thumbnail_key(key_of(kept)), "somebody/elses.txt"}


async def test_a_store_that_seems_to_be_of_another_database_is_left_alone(
    database: Database, settings: Settings, place: str
) -> None:
    await a_crawl(database, b"one")
    store = Store(place)
    for number in range(30):
        await store.put(key_of(bytes([number])), bytes([number]))
    await asyncio.sleep(1.1)
    before = await keys_of(store)
    blobs, _ = await sweep_store(aged(settings, place), database)
    assert blobs.count == 0
    assert "30 of 30" in blobs.note
    assert await keys_of(store) == before


async def test_however_many_workers_there_are_each_task_is_due_once(database: Database) -> None:
    await asyncio.to_thread(queue.app.perform_import_paths)
    async with queue.opened(libpq_url(database.url)) as app:
        for _ in range(3):
            deferrer = PeriodicDeferrer(app.periodic_registry, max_delay=86_400)
            await deferrer.defer_jobs(deferrer.get_previous_tasks(time.time()))
            await deferrer.defer_jobs(deferrer.get_previous_tasks(time.time() + 7 * 3600))
    waiting = await rows(database, "SELECT task_name, queue_name FROM procrastinate_jobs ORDER BY 1")
    assert waiting == [(TASK, retention.QUEUE), (STORE_TASK, retention.QUEUE)], "the next waits for the one before"


async def test_a_worker_sweeps(database: Database, settings: Settings, start_worker: StartWorker) -> None:
    crawl = await a_crawl(database)
    _, file = await an_export(database, crawl, settings.exports, expires_at=OLD)
    async with database.transaction() as session:
        connection = await queue.psycopg_connection(session)
        deferrer = retention.hourly.configure(connection=connection)
        await deferrer.defer_async(timestamp=int(time.time()))
    start_worker()

    async def swept() -> bool:
        return not file.exists()

    await until(swept, 30)


def test_both_tasks_are_periodic_and_not_in_the_queue_of_a_job() -> None:
    tasks = {key: periodic.cron for (key, _), periodic in queue.app.periodic_registry.periodic_tasks.items()}
    assert tasks == {TASK: "17 * * * *", STORE_TASK: "43 */6 * * *"}
    assert {queue.app.tasks[name].queue for name in tasks} == {retention.QUEUE}
    assert {queue.app.tasks[name].queueing_lock for name in tasks} == set(tasks)


async def test_by_hand(database: Database, settings: Settings) -> None:
    crawl = await a_crawl(database)
    _, file = await an_export(database, crawl, settings.exports, expires_at=OLD)

    def run(*options: str) -> str:
        get_settings.cache_clear()
        result = CliRunner().invoke(app, ["db", "sweep", *options])
        assert result.exit_code == 0, result.output
        return result.output

    told = await asyncio.to_thread(run, "--dry-run")
    assert told.startswith("Would be removed:")
    assert "        1  files of expired exports" in told
    assert file.exists()
    assert (await asyncio.to_thread(run)).startswith("Removed:")
    assert not file.exists()
    get_settings.cache_clear()
    assert await rows(database, f"SELECT count(*) FROM {Profile.__tablename__}") == [(1,)]


@pytest.mark.parametrize("status", ["pending", "running", "failed"])
async def test_an_export_that_is_not_done_does_not_expire(database: Database, settings: Settings, status: str) -> None:
    crawl = await a_crawl(database)
    await an_export(database, crawl, settings.exports, expires_at=OLD, status=status)
    assert "files of expired exports" not in counts(await sweep(settings, database))
