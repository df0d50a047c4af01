"""The contract's troubleshooting SQL runs and finds what it looks for."""

from __future__ import annotations

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

from backend.models import CrawlJob, Profile, Project


def test_orphans_are_found_and_deleted(session: Session) -> None:
    session.add(Project(name="kept", user=Profile(id=uuid.uuid4(), email="a@example.org")))
    session.flush()
    # Orphans can only come to be where the keys are switched off, as a careless restore does.
    session.execute(text("SET LOCAL session_replication_role = replica"))
    session.add(Project(id=900, name="orphan", user_id=uuid.uuid4()))
    session.add(CrawlJob(id=901, project_id=902, name="orphan", keywords=["cat"]))
    session.flush()
    session.execute(text("SET LOCAL session_replication_role = origin"))

    orphans = text("SELECT id FROM projects WHERE user_id NOT IN (SELECT id FROM profiles)")
    assert session.scalars(orphans).all() == [900]
    jobs = text("SELECT id FROM crawl_jobs WHERE project_id NOT IN (SELECT id FROM projects)")
    assert session.scalars(jobs).all() == [901]
    session.execute(text("DELETE FROM projects WHERE user_id NOT IN (SELECT id FROM profiles)"))
    assert session.scalars(orphans).all() == []
    assert session.scalars(text("SELECT name FROM projects")).all() == ["kept"]


def test_indexes_can_be_looked_at_and_rebuilt(session: Session) -> None:
    usage = session.execute(text("SELECT * FROM pg_stat_user_indexes ORDER BY idx_scan DESC")).mappings().all()
    assert "ix_project_user_id" in {row["indexrelname"] for row in usage}
    explain = text("EXPLAIN ANALYZE SELECT * FROM projects WHERE user_id = :user")
    assert any("Execution Time" in line for line in session.scalars(explain, {"user": uuid.uuid4()}))
    session.execute(text("REINDEX INDEX ix_project_user_id"))
