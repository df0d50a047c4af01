"""What all pages of a job begin with."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, ExportJob, Project, ValidationJob
from backend.models.enums import JobStatus
from backend.services.access import Actor

_OPEN = (JobStatus.PENDING.value, JobStatus.RUNNING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHeader:
    """`crawling`: its images still come in. `busy`: something of it is under way, so that its pages are live."""

    id: int
    name: str
    project_id: int
    project_name: str
    changeable: bool
    crawling: bool
    busy: bool
    images: int
    valid: int


async def header_of(session: AsyncSession, actor: Actor, job: CrawlJob) -> JobHeader:
    project = await session.get_one(Project, job.project_id)
    followers = [
        exists().where(kind.crawl_job_id == job.id, kind.status.in_(_OPEN)) for kind in (ValidationJob, ExportJob)
    ]
    crawling = job.status in _OPEN
    return JobHeader(
        id=job.id,
        name=job.name,
        project_id=project.id,
        project_name=project.name,
        changeable=actor.may_change(project.user_id),
        crawling=crawling,
        busy=crawling or bool(await session.scalar(select(or_(*followers)))),
        images=job.downloaded_images,
        valid=job.valid_images,
    )
