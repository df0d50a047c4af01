"""What the database itself refuses, and what it fills in."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.models import CrawlChunk, CrawlJob, ExportJob, Image, JobStatus, Profile, Project, ValidationJob


@pytest.fixture
def job(session: Session) -> CrawlJob:
    user = Profile(id=uuid.uuid4(), email="user@example.org")
    job = CrawlJob(name="c", keywords=["cat"], project=Project(name="p", user=user))
    session.add_all(
        [
            user,
            Image(original_url="https://example.org/a.jpg", crawl_job=job),
            ValidationJob(name="v", crawl_job=job),
            ExportJob(name="e", crawl_job=job, user=user),
            CrawlChunk(position=0, source="openverse", label="cat", crawl_job=job),
        ]
    )
    session.commit()
    return job


@pytest.mark.parametrize(
    ("table", "assignment", "constraint"),
    [
        ("profiles", "role = 'king'", "ck_profiles_role"),
        ("projects", "status = 'gone'", "ck_projects_status"),
        *(
            (table, assignment, f"ck_{table}_{column}")
            for table in ("crawl_jobs", "validation_jobs", "export_jobs")
            for column, assignment in {
                "status": "status = 'done'",
                "progress": "progress = 101",
                "total_images": "total_images = -1",
            }.items()
        ),
        ("crawl_jobs", "progress = -1", "ck_crawl_jobs_progress"),
        *(
            ("crawl_jobs", f"{column} = -1", f"ck_crawl_jobs_{column}")
            for column in (
                *("max_images", "downloaded_images", "valid_images"),
                *("total_chunks", "active_chunks", "completed_chunks", "failed_chunks"),
            )
        ),
        ("validation_jobs", "validated_images = -1", "ck_validation_jobs_validated_images"),
        ("validation_jobs", "invalid_images = -1", "ck_validation_jobs_invalid_images"),
        ("export_jobs", "exported_images = -1", "ck_export_jobs_exported_images"),
        ("export_jobs", "file_size = -1", "ck_export_jobs_file_size"),
        ("images", "width = -1", "ck_images_width"),
        ("images", "outcome = 'lost'", "ck_images_outcome"),
        ("images", "change = 'better'", "ck_images_change"),
        ("images", "sha256 = 'short'", "ck_images_sha256"),
        ("images", "pdq = 'short'", "ck_images_pdq"),
        ("crawl_chunks", "status = 'done'", "ck_crawl_chunks_status"),
        ("crawl_chunks", "bytes = -1", "ck_crawl_chunks_bytes"),
    ],
)
def test_a_wrong_value_is_refused(
    session: Session, job: CrawlJob, table: str, assignment: str, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        session.execute(text(f"UPDATE {table} SET {assignment}"))


def test_a_wrong_status_on_an_object_is_refused(session: Session, job: CrawlJob) -> None:
    job.status = "done"
    with pytest.raises(IntegrityError, match="ck_crawl_jobs_status"):
        session.flush()


def test_an_address_is_one_person_in_any_spelling(session: Session, job: CrawlJob) -> None:
    session.add(Profile(id=uuid.uuid4(), email="User@Example.org"))
    with pytest.raises(IntegrityError, match="uq_profiles_lower_email"):
        session.flush()


def test_a_url_is_once_in_a_job_however_long(session: Session, job: CrawlJob) -> None:
    url = "https://example.org/" + "x" * 100_000
    other = CrawlJob(name="other", keywords=["cat"], project=job.project)
    session.add_all([Image(original_url=url, crawl_job=job), Image(original_url=url, crawl_job=other)])
    session.flush()
    session.add(Image(original_url=url, crawl_job=job))
    with pytest.raises(IntegrityError, match="uq_images_original_url_crawl_job_id"):
        session.flush()


def test_a_place_in_a_job_is_taken_once(session: Session, job: CrawlJob) -> None:
    session.add(CrawlChunk(position=0, source="wikimedia", label="dog", crawl_job=job))
    with pytest.raises(IntegrityError, match="uq_crawl_chunks_crawl_job_id_position"):
        session.flush()


def test_raw_sql_needs_only_what_has_no_default(session: Session, job: CrawlJob) -> None:
    insert = text("INSERT INTO crawl_jobs (project_id, name, keywords) VALUES (:id, 'raw', '[\"cat\"]') RETURNING id")
    raw = session.get_one(CrawlJob, session.scalar(insert, {"id": job.project_id}))
    assert (raw.status, raw.progress, raw.max_images, raw.task_ids, raw.options) == ("pending", 0, 1000, [], {})
    assert raw.created_at.tzinfo is not None


def test_defaults_show_before_and_after_the_flush(session: Session, job: CrawlJob) -> None:
    new = CrawlJob(name="new", keywords=["cat"], project=job.project)
    session.add(new)
    before = (new.status, new.progress, new.max_images, new.task_ids, new.failed_chunks)
    assert before == (JobStatus.PENDING, 0, 1000, [], 0)
    session.flush()
    assert (new.status, new.progress, new.max_images, new.task_ids, new.failed_chunks) == before
    assert new.created_at == new.updated_at
