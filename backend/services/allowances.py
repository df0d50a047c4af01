"""How much one person may have: jobs under way at once, images, and bytes. Nothing is limited by default.

Validations and exports under way count as jobs too, but those that follow a crawl by plan are never refused.

A job that is under way counts with all the images that it may come to, so jobs that are started at the same moment
cannot pass a limit together. Its bytes are known only when they are there: nobody starts a job when the bytes are used
up, and a running one ends with the batch that uses them up. What is in deleted projects counts as long as it is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.config import Settings
from backend.errors import NotAllowed, TooMany
from backend.models import CrawlChunk, CrawlJob, ExportJob, Profile, Project, ValidationJob
from backend.models.enums import JobStatus
from backend.schemas.profile import Share, UseResponse

RETRY_AFTER = 60
_DELETED = "Those of deleted projects count until the projects are removed for good."


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What everybody may have; None is as much as they like."""

    running_jobs: int | None = None
    images: int | None = None
    bytes: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            running_jobs=settings.max_running_jobs,
            images=settings.max_images_per_user,
            bytes=settings.max_bytes_per_user,
        )


async def hold(session: AsyncSession, job: CrawlJob) -> UUID:
    """The job's owner, whose row is locked: of two jobs that are started at once, one waits for the other's commit.

    To be called before the job itself is locked.
    """
    owner = select(Project.user_id).where(Project.id == job.project_id).scalar_subquery()
    return (await session.scalars(select(Profile.id).where(Profile.id == owner).with_for_update(key_share=True))).one()


async def check_start(session: AsyncSession, owner_id: UUID, allowance: Allowance, job: CrawlJob) -> None:
    """Whether the held owner may have this job under way too. Raises TooMany or NotAllowed, with the figures."""
    running, images = await _had(session, owner_id, job.id)
    _check_running(allowance, running + await _followers(session, owner_id))
    _check_images(allowance, images, job.max_images)
    await _check_bytes(session, owner_id, allowance)


async def check_follower(session: AsyncSession, job: CrawlJob, allowance: Allowance, *, packing: bool) -> None:
    """Whether the job's owner may have a validation, or with `packing` an export, of it under way too.

    Holds the owner, so it comes before the job is locked. Raises TooMany or NotAllowed, with the figures.
    """
    owner_id = await hold(session, job)
    running, _ = await _had(session, owner_id, None)
    _check_running(allowance, running + await _followers(session, owner_id))
    if packing:
        await _check_bytes(session, owner_id, allowance)


async def use(session: AsyncSession, owner_id: UUID, allowance: Allowance) -> UseResponse:
    """What the person has beside what they may have."""
    running, images = await _had(session, owner_id, None)
    running += await _followers(session, owner_id)
    return UseResponse(
        running_jobs=Share(had=running, allowed=allowance.running_jobs),
        images=Share(had=images, allowed=allowance.images),
        bytes=Share(had=await _bytes(session, owner_id), allowed=allowance.bytes),
    )


def _check_running(allowance: Allowance, running: int) -> None:
    if allowance.running_jobs is None or running < allowance.running_jobs:
        return
    raise TooMany(
        f"{running:,} {'job is' if running == 1 else 'jobs are'} under way, and {allowance.running_jobs:,} may be at"
        " once. Start this one when one of them has ended.",
        retry_after=RETRY_AFTER,
        allowed=allowance.running_jobs,
        had=running,
    )


async def check_wanted(session: AsyncSession, owner_id: UUID, allowance: Allowance, images: int) -> None:
    """Whether a job of so many images could be started as things are. Raises NotAllowed, with the figures."""
    _, had = await _had(session, owner_id, None)
    _check_images(allowance, had, images)
    await _check_bytes(session, owner_id, allowance)


def _check_images(allowance: Allowance, had: int, asked: int) -> None:
    if allowance.images is None or had + asked <= allowance.images:
        return
    left = max(0, allowance.images - had)
    raise NotAllowed(
        f"{allowance.images:,} images are allowed, {had:,} are there or asked for, and this job asks for {asked:,}."
        + (f" Ask for {left:,} at most, or delete" if left else " Delete")
        + f" jobs that are not needed any more. {_DELETED}",
        allowed=allowance.images,
        had=had,
        asked=asked,
    )


async def _check_bytes(session: AsyncSession, owner_id: UUID, allowance: Allowance) -> None:
    if (had := await bytes_used_up(session, owner_id, allowance)) is not None:
        raise NotAllowed(bytes_sentence(allowance, had), allowed=allowance.bytes, had=had)


async def bytes_used_up(session: AsyncSession, owner_id: UUID, allowance: Allowance) -> int | None:
    """The owner's bytes when there are as many as they may have; None when some are left."""
    if allowance.bytes is None:
        return None
    had = await _bytes(session, owner_id)
    return had if had >= allowance.bytes else None


async def _bytes(session: AsyncSession, owner_id: UUID) -> int:
    """Of what was gathered, and of exports whose files are still there."""
    gathered = select(func.coalesce(func.sum(CrawlChunk.bytes), 0)).join(CrawlChunk.crawl_job).join(CrawlJob.project)
    packed = select(func.coalesce(func.sum(ExportJob.file_size), 0)).join(ExportJob.crawl_job).join(CrawlJob.project)
    packed = packed.where(Project.user_id == owner_id, ExportJob.download_url.is_not(None))
    both = select(gathered.where(Project.user_id == owner_id).scalar_subquery() + packed.scalar_subquery())
    return int((await session.scalars(both)).one())


def bytes_sentence(allowance: Allowance, had: int) -> str:
    figures = f"{allowance.bytes:,} bytes are allowed, and {had:,} are there."
    return f"{figures} Delete jobs that are not needed any more. {_DELETED}"


async def _had(session: AsyncSession, owner_id: UUID, without: int | None) -> tuple[int, int]:
    """Jobs under way, and images there or asked for."""
    going = under_way()
    there = func.sum(CrawlJob.downloaded_images - CrawlJob.duplicate_images).filter(~going)
    query = (
        select(
            func.count().filter(going),
            func.coalesce(func.sum(CrawlJob.max_images).filter(going), 0) + func.coalesce(there, 0),
        )
        .join(CrawlJob.project)
        .where(Project.user_id == owner_id)
    )
    if without is not None:
        query = query.where(CrawlJob.id != without)
    running, images = (await session.execute(query)).one()
    return running, int(images)


async def _followers(session: AsyncSession, owner_id: UUID) -> int:
    """Validations and exports of the person's jobs that run, or wait for a worker."""
    open_states = (JobStatus.PENDING.value, JobStatus.RUNNING.value)
    counts = [
        select(func.count())
        .select_from(kind)
        .join(kind.crawl_job)
        .join(CrawlJob.project)
        .where(Project.user_id == owner_id, kind.status.in_(open_states))
        .scalar_subquery()
        for kind in (ValidationJob, ExportJob)
    ]
    return int((await session.scalars(select(counts[0] + counts[1]))).one())


def under_way() -> ColumnElement[bool]:
    """Crawl jobs that run, or wait for a worker: not those that nobody has started."""
    started = (CrawlJob.status == JobStatus.PENDING.value) & (func.jsonb_array_length(CrawlJob.task_ids) > 0)
    return (CrawlJob.status == JobStatus.RUNNING.value) | started
