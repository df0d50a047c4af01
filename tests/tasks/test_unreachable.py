"""A source whose host does not resolve: each part of the job says so, in a line of the log and in its row."""

from __future__ import annotations

from pathlib import Path

from backend.config import Settings
from backend.db import Database
from backend.schemas.plans import CrawlPlan
from backend.services import crawl_jobs, profiles
from tests.tasks.conftest import StartWorker
from tests.tasks.helpers import rows, settled

NO_NAME = "The host name does not resolve."


async def test_the_first_cause_is_told_in_one_line_a_chunk(
    database: Database, settings: Settings, environment: dict[str, str], start_worker: StartWorker, tmp_path: Path
) -> None:
    environment["GLEANSET_SOURCE_URLS"] = '{"openverse": "http://pictures.invalid/v1/images/"}'
    environment["GLEANSET_LOG_LEVEL"] = "warning"
    words = [f"word {n}" for n in range(6)]
    plan = CrawlPlan(sources=["openverse"], rules={})
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        project = await profiles.project_named(session, owner, "tests")
        job = await crawl_jobs.create(session, project, "Nowhere", words, plan, 60, user_id=owner.id)
        queries = crawl_jobs.plan_queries(words, plan, rows_per_chunk=settings.rows_per_chunk)
        await crawl_jobs.start(session, job.id, queries, user_id=owner.id)
    start_worker()
    now = await settled(database, job.id)
    assert now.status == "failed"
    assert NO_NAME in (now.error or "")
    errors = await rows(database, "SELECT error_message FROM crawl_chunks")
    assert len(errors) == len(words)
    assert [text for (text,) in errors if NO_NAME not in text] == []
    log = (tmp_path / "worker-0.log").read_text()
    assert "Traceback" not in log
    lines = log.splitlines()
    assert len(lines) == len(words), log
    assert all("chunk failed" in line and NO_NAME in line for line in lines)
    assert await rows(database, "SELECT failure FROM hosts") == [("dns",)]
