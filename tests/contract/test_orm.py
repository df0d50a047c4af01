"""The models used as the contract shows, in a plain session."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, joinedload

from backend.models import (
    ActivityLog,
    ApiKey,
    Base,
    CrawlChunk,
    CrawlJob,
    Credential,
    Decision,
    ExportJob,
    IdempotencyKey,
    Image,
    LoginLink,
    LoginSession,
    Profile,
    Project,
    Takedown,
    ValidationJob,
    Verdict,
)

USER, PROJECT, JOB = uuid.UUID(int=7), 70, 700
MANY = 5_000
NOW = datetime(2026, 11, 1, tzinfo=UTC)
PERSONAL = {"credentials", "sessions", "login_links", "api_keys", "idempotency_keys"}


@pytest.fixture
def job(session: Session) -> CrawlJob:
    """One of everything, created as the contract does, and many images."""
    profile = Profile(id=USER, email="user@example.com", role="user")
    project = Project(id=PROJECT, name="My Project", user=profile)
    job = CrawlJob(id=JOB, name="Crawl Job", project=project, keywords=["cat", "dog"])
    image = Image(original_url="https://example.org/first.jpg", crawl_job=job)
    session.add(profile)
    session.commit()
    session.add(check := ValidationJob(name="v", crawl_job_id=job.id))
    session.flush()
    session.add_all(
        [
            Verdict(validation_job_id=check.id, image_id=image.id, valid=False, reasons=["too_small"]),
            ExportJob(name="e", crawl_job_id=job.id, user_id=USER),
            CrawlChunk(crawl_job_id=job.id, position=0, source="openverse", label="cat"),
            ActivityLog(user_id=USER, action="created", metadata_={"job": job.id}),
            Credential(user_id=USER, password_hash="argon2"),
            LoginSession(token_hash=b"s", user_id=USER, expires_at=NOW),
            LoginLink(token_hash=b"l", user_id=USER, expires_at=NOW),
            ApiKey(user_id=USER, name="k", prefix="gls_k", secret_hash=b"k", scopes=["read"]),
            IdempotencyKey(user_id=USER, key="k", request_hash=b"r", resource_type="crawl_jobs", resource_id=job.id),
            Decision(project_id=PROJECT, sha256=bytes(32), choice="keep", user_id=USER),
            Takedown(url="https://example.org/first.jpg", user_id=USER),
        ]
    )
    session.flush()
    session.execute(
        text("INSERT INTO images (crawl_job_id, original_url) SELECT :job, 'https://e.org/' || generate_series(1, :n)"),
        {"job": job.id, "n": MANY},
    )
    session.commit()
    return job


@contextmanager
def statements(session: Session) -> Iterator[list[str]]:
    """What the session sends, savepoints aside."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "SAVEPOINT" not in statement:
            sent.append(statement)

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    yield sent
    event.remove(connection, "before_cursor_execute", note)


def counts(session: Session) -> dict[str, int]:
    return {t.name: session.scalar(select(func.count()).select_from(t)) or 0 for t in Base.metadata.sorted_tables}


def test_lazy_loading(session: Session, job: CrawlJob) -> None:
    session.expunge_all()
    profile = session.query(Profile).filter_by(id=USER).first()
    assert profile is not None
    assert [project.name for project in profile.projects] == ["My Project"]
    project = session.query(Project).filter_by(id=profile.projects[0].id).first()
    assert project is not None
    assert [job.name for job in project.crawl_jobs] == ["Crawl Job"]
    found = session.query(CrawlJob).filter_by(id=JOB).first()
    assert found is not None
    assert len(found.images) == MANY + 1


def test_eager_loading(session: Session, job: CrawlJob) -> None:
    session.expunge_all()
    profile = session.query(Profile).options(joinedload(Profile.projects)).filter_by(id=USER).first()
    query = session.query(Project).options(joinedload(Project.crawl_jobs).joinedload(CrawlJob.images))
    project = query.filter_by(id=PROJECT).first()
    with statements(session) as sent:
        assert profile is not None
        assert profile.projects == [project]
        assert project is not None
        assert len(project.crawl_jobs[0].images) == MANY + 1
    assert sent == []


def test_url_is_another_name_of_original_url(session: Session, job: CrawlJob) -> None:
    image = Image(url="https://example.org/by-other-name.jpg", crawl_job_id=job.id)
    session.add(image)
    session.flush()
    assert image.original_url == image.url
    assert session.scalars(select(Image).where(Image.url == image.original_url)).one() is image


def test_every_foreign_key_has_its_relationship_both_ways() -> None:
    for mapper in Base.registry.mappers:
        for key in mapper.local_table.foreign_keys:
            [to_parent] = [r for r in mapper.relationships if r.local_columns == {key.parent}]
            to_children = to_parent.mapper.relationships[to_parent.back_populates or ""]
            assert to_children.back_populates == to_parent.key
            assert to_children.passive_deletes == ("all" if key.ondelete == "SET NULL" else True)


@pytest.mark.parametrize("loaded", [False, True])
def test_deleting_a_profile_takes_all_but_the_log_and_takedowns(session: Session, job: CrawlJob, loaded: bool) -> None:
    session.expunge_all()
    profile = session.get_one(Profile, USER)
    if loaded:
        assert profile.activity_logs
        assert profile.projects[0].crawl_jobs[0].validation_jobs[0].verdicts
        assert profile.credential
        assert profile.projects[0].decisions
        assert profile.sessions
        assert profile.api_keys
    with statements(session) as sent:
        session.delete(profile)
        session.commit()
    assert len(sent) <= (9 if loaded else 1)  # one for each table whose rows the session knows
    assert not [statement for statement in sent if "images" in statement.split("WHERE")[0].lower()]
    session.expire_all()
    assert {table: n for table, n in counts(session).items() if n} == {"activity_logs": 1, "takedowns": 1}
    assert session.scalars(select(ActivityLog)).one().user is None
    assert session.scalars(select(Takedown)).one().user is None


@pytest.mark.parametrize(
    ("model", "key", "left"),
    [(Project, PROJECT, {"profiles"}), (CrawlJob, JOB, {"profiles", "projects", "decisions"})],
)
def test_deleting_further_down(session: Session, job: CrawlJob, model: type[Base], key: int, left: set[str]) -> None:
    session.expunge_all()
    victim = session.get_one(model, key)
    with statements(session) as sent:
        session.delete(victim)
        session.commit()
    assert len(sent) == 1
    assert {table for table, n in counts(session).items() if n} == left | PERSONAL | {"activity_logs", "takedowns"}


def test_deleting_an_image_or_a_validation_takes_its_verdicts(session: Session, job: CrawlJob) -> None:
    image = session.scalars(select(Image).where(Image.verdicts.any())).one()
    session.delete(image)
    session.commit()
    assert counts(session)["verdicts"] == 0


def test_a_child_taken_out_of_its_collection_is_deleted(session: Session, job: CrawlJob) -> None:
    job.export_jobs.clear()
    session.commit()
    assert counts(session)["export_jobs"] == 0


async def test_an_async_session_never_has_to_load_afterwards(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        project = Project(name="p", user=Profile(id=USER, email="user@example.org"))
        session.add(project)
        await session.commit()
        created = project.created_at
        project.name = "renamed"
        await session.commit()
        assert project.updated_at > created
        assert project.status == "active"
    await engine.dispose()
