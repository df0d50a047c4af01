"""Every change of a job's state, in one place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import IllegalMove, NotFound
from backend.models import CrawlJob, ExportJob, ValidationJob
from backend.models.enums import JobStatus
from backend.services.activity import note

Job = CrawlJob | ValidationJob | ExportJob
AnyJob = TypeVar("AnyJob", CrawlJob, ValidationJob, ExportJob)

MOVES: dict[JobStatus, set[JobStatus]] = {
    JobStatus.PENDING: {JobStatus.RUNNING, JobStatus.CANCELLED},
    JobStatus.RUNNING: {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED},
    JobStatus.COMPLETED: set(),
    JobStatus.FAILED: {JobStatus.PENDING},
    JobStatus.CANCELLED: {JobStatus.PENDING},
}

CHANNEL = "gleanset"
"""Where changes of jobs are announced; the payload is the id of the crawl job they belong to."""


async def locked(session: AsyncSession, kind: type[AnyJob], job_id: int) -> AnyJob:
    """The job, locked until the end of the transaction. Raises NotFound.

    Whoever changes a crawl job, its chunks, validations or exports holds the lock of the crawl job's row first, so
    locks are always taken in one order.
    """
    if kind is not CrawlJob:
        owner = await session.scalar(select(kind.crawl_job_id).filter_by(id=job_id))  # pyright: ignore
        if owner is not None:
            await locked(session, CrawlJob, owner)
    job = await session.get(kind, job_id, with_for_update=True, populate_existing=True)
    if job is None:
        raise NotFound(f"There is no {_noun(kind)} {job_id}.")
    return job


async def ended(session: AsyncSession, crawl_job_id: int, wish: str) -> CrawlJob:
    """The crawl job, locked. Raises NotFound, and IllegalMove while it is under way: its `wish` has to wait."""
    job = await locked(session, CrawlJob, crawl_job_id)
    if job.status in {JobStatus.PENDING, JobStatus.RUNNING}:
        raise IllegalMove(f"The crawl job {job.id} is {job.status}; {wish} when it has ended.", current=job.status)
    return job


async def move(
    session: AsyncSession, job: Job, to: JobStatus, *, user_id: UUID | None, error: str | None = None
) -> None:
    """Move a locked job to another state, with its times, its activity row and the announcement.

    user_id: who asked for it; None for a worker that goes on by itself.
    Raises IllegalMove when the job's state does not allow it.
    """
    before = JobStatus(job.status)
    if to not in MOVES[before]:
        raise IllegalMove(f"The {_noun(type(job))} {job.id} is {before}; it cannot become {to}.", current=before.value)
    now = datetime.now(UTC)
    job.status = to.value
    job.error_message = error
    if to is JobStatus.RUNNING:
        job.started_at = job.started_at or now
    elif to is JobStatus.PENDING:
        job.completed_at = None
    else:
        job.completed_at = now
    if to is JobStatus.COMPLETED:
        job.progress = 100
    action = f"{_noun(type(job)).replace(' ', '_')}.{to}"
    note(session, user_id, action, job, (before.value, to.value), **({"error": error} if error else {}))
    await session.flush()
    await announce(session, job.id if isinstance(job, CrawlJob) else job.crawl_job_id)


async def announce(session: AsyncSession, crawl_job_id: int) -> None:
    """Tell those who follow the job that something changed, when the transaction commits."""
    await session.execute(text("SELECT pg_notify(:channel, :job)"), {"channel": CHANNEL, "job": str(crawl_job_id)})


def _noun(kind: type[Any]) -> str:
    return {CrawlJob: "crawl job", ValidationJob: "validation job", ExportJob: "export job"}[kind]
