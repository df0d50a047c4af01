"""A project that was deleted days ago goes with all it had, in parts, and nothing goes that another project has."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from backend.config import Settings
from backend.db import Database
from backend.errors import Conflict
from backend.models import CrawlJob, ExportJob, Project
from backend.models.enums import Choice, ProjectStatus
from backend.schemas.plans import CrawlPlan
from backend.schemas.projects import ProjectUpdate
from backend.services import crawl_jobs, decisions, deleted_projects, profiles, projects, retention, validation
from backend.services.images import insert_outcomes
from backend.services.retention import sweep
from backend.services.retention.projects import Purging
from gleanset.store import Store, blob_key, thumbnail_key
from tests.services.helpers import downloaded
from tests.tasks.conftest import StartWorker
from tests.tasks.helpers import rows, until

TABLES = ("crawl_jobs", "images", "verdicts", "validation_jobs", "export_jobs", "decisions")

PARTS = (
    "CREATE TABLE parts (images bigint)",
    "CREATE FUNCTION part() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN INSERT INTO parts SELECT count(*) FROM gone; RETURN NULL; END $$",
    "CREATE TRIGGER parts AFTER DELETE ON images REFERENCING OLD TABLE AS gone"
    " FOR EACH STATEMENT EXECUTE FUNCTION part()",
)
"""How many images each statement deletes."""


def key_of(data: bytes) -> str:
    return blob_key(hashlib.sha256(data).hexdigest(), "jpeg")


async def a_project(database: Database, settings: Settings, name: str, pictures: Sequence[bytes]) -> int:
    """With a job that is judged, decided on and packed, and its files."""
    store = Store(settings.store_place)
    for data in pictures:
        await store.put(key_of(data), data)
        await store.put(thumbnail_key(key_of(data)), b"small")
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        project = await profiles.project_named(session, owner, name)
        job = await crawl_jobs.create(session, project, "A job", ["x"], CrawlPlan(), 100, user_id=owner.id)
        job.status, job.downloaded_images = "completed", len(pictures)
        found = [downloaded(str(n), sha256=hashlib.sha256(data).hexdigest()) for n, data in enumerate(pictures)]
        await insert_outcomes(session, job.id, found, lambda key: f"file:///{key}", None)
        made = await validation.create(session, job, {}, user_id=owner.id)
        session.add(packed := ExportJob(crawl_job_id=job.id, user_id=owner.id, name="E", status="completed"))
        await session.flush()
        ids = [row.id for row in await session.execute(text(f"SELECT id FROM images WHERE crawl_job_id = {job.id}"))]
        await decisions.decide(session, project, ids, Choice.KEEP, why=None, user_id=owner.id)
    await validation.judge(database, made.id)
    file = settings.exports / f"export-{packed.id}.zip"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"data")
    return project.id


async def delete(database: Database, project_id: int, days: float = 0) -> None:
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        project = await session.get_one(Project, project_id)
        await projects.update(session, project, ProjectUpdate(status=ProjectStatus.DELETED), owner.id)
        project.deleted_at = datetime.now(UTC) - timedelta(days=days)


async def counted(database: Database) -> dict[str, int]:
    return {table: (await rows(database, f"SELECT count(*) FROM {table}"))[0][0] for table in ("projects", *TABLES)}


async def files(settings: Settings) -> set[str]:
    listings = Store(settings.store_place).keys()
    return {key async for listing in listings for key in listing} | {each.name for each in settings.exports.iterdir()}


def counts(swept: list[Any]) -> dict[str, int]:
    return {each.what: each.count for each in swept if each.count}


async def test_nothing_is_left_of_it_when_its_days_are_over(database: Database, settings: Settings) -> None:
    shared, mine = b"in both", [str(n).encode() for n in range(30)]  # far more than half of the store
    kept = await a_project(database, settings, "Kept", [shared])
    there, lying = await counted(database), await files(settings)
    gone = await a_project(database, settings, "Gone", [shared, *mine])
    whole = await files(settings)
    await delete(database, gone, days=6.9)
    assert counts(await sweep(settings, database)) == {}
    assert await files(settings) == whole
    await delete(database, gone, days=7.1)
    assert counts(await sweep(settings, database, dry_run=True)) == {"deleted projects": 1}
    assert await files(settings) == whole
    assert counts(await sweep(settings, database)) == {"deleted projects": 1}
    assert await counted(database) == there
    assert await files(settings) == lying
    assert await rows(database, "SELECT id FROM projects") == [(kept,)]
    log = await rows(
        database, f"SELECT action FROM activity_logs WHERE resource_id = '{gone}' ORDER BY id DESC LIMIT 1"
    )
    assert log == [("project.purged",)]


async def test_it_goes_in_parts(database: Database, settings: Settings) -> None:
    await a_project(database, settings, "Kept", [b"1"])
    there = await counted(database)
    await delete(database, await a_project(database, settings, "Gone", [str(n).encode() for n in range(30)]), days=8)
    async with database.transaction() as session:
        for statement in PARTS:
            await session.execute(text(statement))
    purging = Purging(database, Store(settings.store_place), settings.exports, at_once=7)
    assert await purging.overdue(7, dry_run=False) == 1
    assert await counted(database) == there
    found = await rows(database, "SELECT images FROM parts WHERE images > 0")
    assert found == [(7,), (7,), (7,), (7,), (2,)]


async def test_days_are_a_setting(database: Database, settings: Settings) -> None:
    await delete(database, await a_project(database, settings, "Gone", [b"1"]), days=7.1)
    longer = settings.model_copy(update={"deleted_days": 30})
    assert counts(await sweep(longer, database)) == {}
    assert counts(await sweep(settings, database)) == {"deleted projects": 1}


async def test_the_days_of_one_that_was_deleted_by_sql_begin_with_the_sweep(
    database: Database, settings: Settings
) -> None:
    project = await a_project(database, settings, "Gone", [b"1"])
    async with database.transaction() as session:
        await session.execute(update(Project).values(status="deleted"))
    assert counts(await sweep(settings, database)) == {}
    [(since,)] = await rows(
        database, f"SELECT deleted_at > now() - interval '1 minute' FROM projects WHERE id = {project}"
    )
    assert since


async def test_what_a_killed_process_began_is_gone_on_with_and_cannot_be_restored(
    database: Database, settings: Settings
) -> None:
    project = await a_project(database, settings, "Gone", [b"1", b"2"])
    await delete(database, project)
    async with database.transaction() as session:
        await deleted_projects.give_up(session, project, None)
    async with database.transaction() as session:
        with pytest.raises(Conflict, match="being removed for good"):
            await deleted_projects.restore(session, project, None)
    assert counts(await sweep(settings, database)) == {"deleted projects": 1}
    assert set((await counted(database)).values()) == {0}


async def test_one_that_was_restored_meanwhile_stays(database: Database, settings: Settings) -> None:
    project = await a_project(database, settings, "Back", [b"1"])
    await delete(database, project, days=8)
    async with database.transaction() as session:
        await deleted_projects.restore(session, project, None)
    before = await counted(database)
    assert await retention.purge(settings, database, project) == ""
    assert counts(await sweep(settings, database)) == {}
    assert await counted(database) == before


async def test_what_a_store_does_not_let_go_is_gone_on_with(database: Database, settings: Settings) -> None:
    project = await a_project(database, settings, "Gone", [b"1"])
    await delete(database, project, days=8)
    elsewhere = settings.model_copy(update={"store_url": "s3://nobody/here"})
    swept = {each.what: each for each in await sweep(elsewhere, database)}["deleted projects"]
    assert (swept.count, "gone on with by the next sweep" in swept.note) == (0, True)
    assert counts(await sweep(settings, database))["deleted projects"] == 1
    assert set((await counted(database)).values()) == {0}


async def test_a_worker_removes_what_an_admin_gave_up(
    database: Database, settings: Settings, start_worker: StartWorker
) -> None:
    project = await a_project(database, settings, "Gone", [b"1"])
    await delete(database, project)
    async with database.transaction() as session:
        await deleted_projects.purge_soon(session, project, None)
    start_worker()

    async def gone() -> bool:
        return set((await counted(database)).values()) == {0}

    await until(gone, 30)
    assert await asyncio.to_thread(lambda: list(settings.exports.iterdir())) == []
    assert await rows(database, f"SELECT count(*) FROM {CrawlJob.__tablename__}") == [(0,)]
