"""What people ask of crawl jobs through the service: noted in the activity log, and within what they may have."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import delete as delete_from
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend import queue
from backend.errors import BadInput, Conflict, IllegalMove
from backend.models import CrawlJob, ExportJob, Project, ValidationJob
from backend.models.enums import JobStatus
from backend.schemas.crawl_jobs import CrawlJobUpdate
from backend.schemas.crawl_requests import CrawlRequest, RefreshRequest
from backend.schemas.plans import CrawlPlan
from backend.services import allowances, crawl_jobs
from backend.services.activity import note
from backend.services.allowances import Allowance
from backend.services.states import announce, ended, locked
from gleanset.sources import SourceOptions

_OPEN = (JobStatus.PENDING.value, JobStatus.RUNNING.value)


async def create(
    session: AsyncSession,
    project: Project,
    wanted: CrawlRequest,
    user_id: UUID,
    *,
    allowance: Allowance,
    sources: SourceOptions,
) -> CrawlJob:
    """A pending job. Raises SourceError for a source that lacks its key, NotAllowed, or BadInput."""
    plan = wanted.plan()
    crawl_jobs.searches(wanted.keywords, plan, sources)
    await allowances.check_wanted(session, project.user_id, allowance, wanted.max_images)
    return await crawl_jobs.create(
        session, project, wanted.name, wanted.keywords, plan, wanted.max_images, user_id=user_id
    )


async def start(session: AsyncSession, job: CrawlJob, user_id: UUID, allowance: Allowance) -> CrawlJob:
    """Let a worker plan the pending job and start it. Raises IllegalMove, TooMany or NotAllowed."""
    owner_id = await allowances.hold(session, job)
    job = await locked(session, CrawlJob, job.id)
    if job.status != JobStatus.PENDING:
        raise IllegalMove(f"The crawl job {job.id} is {job.status}; it cannot be started.", current=job.status)
    if await queue.has_tasks(session, job.id):
        raise IllegalMove(f"The crawl job {job.id} is started already; a worker will take it up.", current=job.status)
    await allowances.check_start(session, owner_id, allowance, job)
    note(session, user_id, "crawl_job.started", job, (job.status, "queued"))
    await crawl_jobs.request_plan(session, job, user_id)
    return job


async def retry(session: AsyncSession, job: CrawlJob, user_id: UUID, allowance: Allowance) -> CrawlJob:
    """Go on with what is left. Raises IllegalMove for a job under way or with all done, TooMany or NotAllowed."""
    owner_id = await allowances.hold(session, job)
    job = await locked(session, CrawlJob, job.id)
    if job.status in _OPEN and (job.status == JobStatus.PENDING or await queue.has_tasks(session, job.id)):
        hint = "start it" if job.status == JobStatus.PENDING else "nothing of it has to be tried again"
        raise IllegalMove(f"The crawl job {job.id} is {job.status}; {hint}.", current=job.status)
    if job.status != JobStatus.COMPLETED:
        await allowances.check_start(session, owner_id, allowance, job)
    else:  # what followed it is tried again
        await allowances.check_follower(session, job, allowance, packing=True)
    return await crawl_jobs.retry(session, job.id, user_id=user_id)


async def refresh(
    session: AsyncSession, old: CrawlJob, wanted: RefreshRequest, user_id: UUID, allowance: Allowance
) -> CrawlJob:
    """A started job that visits the images of `old` again. Raises IllegalMove, BadInput, TooMany or NotAllowed."""
    await allowances.hold(session, old)  # before the lock, here as everywhere
    old = await ended(session, old.id, "refresh it")
    plan = CrawlPlan.model_validate(old.options)
    _check_refreshable(old, plan)
    if plan.export is not None:  # the place was the command's, and holds the old dataset
        plan.export.out = plan.export.container = None
    project = await session.get_one(Project, old.project_id)
    job = await crawl_jobs.create(
        session,
        project,
        wanted.name or old.name,
        old.keywords,
        plan.model_copy(update={"refresh_of": old.id}),
        wanted.max_images or old.max_images,
        user_id=user_id,
    )
    return await start(session, job, user_id, allowance)


def _check_refreshable(old: CrawlJob, plan: CrawlPlan) -> None:
    """Refuse what only the command line may ask for, or again. Raises BadInput."""
    local = any("://" not in given.path and given.path != given.key for given in plan.lists)
    stores = any(given.path.partition("://")[0] not in {"http", "https"} for given in plan.lists if "://" in given.path)
    trusted = plan.allow_private or plan.own_hosts or plan.overrides.model_dump(exclude_none=True)
    if plan.folders or local or stores or trusted:
        raise BadInput(
            f"Crawl job {old.id} was made on the command line with files or hosts that only it may use."
            f" Refresh it there: gleanset crawl --refresh {old.id}"
        )


async def update(session: AsyncSession, job: CrawlJob, wanted: CrawlJobUpdate, user_id: UUID) -> CrawlJob:
    """Change the name, or the limit of a job that is not started. Raises IllegalMove, or BadInput for null."""
    job = await locked(session, CrawlJob, job.id)
    changes = wanted.model_dump(exclude_unset=True)
    for name, value in changes.items():
        if value is None:
            raise BadInput(f"A crawl job's {name} cannot be null; leave the field out to keep it.", field=name)
    if "max_images" in changes and (job.status != JobStatus.PENDING or await queue.has_tasks(session, job.id)):
        state = f"is {job.status}" if job.status != JobStatus.PENDING else "is started already"
        raise IllegalMove(f"The crawl job {job.id} {state}; its limit stays as it is.", current=job.status)
    before: dict[str, Any] = {name: getattr(job, name) for name in changes}
    for name, value in changes.items():
        setattr(job, name, value)
    await session.flush()
    if before != changes:
        note(session, user_id, "crawl_job.updated", job, (before, changes))
        await announce(session, job.id)
    return job


async def delete(session: AsyncSession, job: CrawlJob, user_id: UUID) -> None:
    """Remove the job with its images, validations and exports; the files that no other job needs go later.

    Raises IllegalMove while anything of it is under way, Conflict while it is being refreshed.
    """
    job = await locked(session, CrawlJob, job.id)
    not_begun = job.status == JobStatus.PENDING and not job.total_chunks and not await queue.has_tasks(session, job.id)
    states = [] if not_begun else [job.status]
    for kind in (ValidationJob, ExportJob):
        states += await session.scalars(select(kind.status).where(kind.crawl_job_id == job.id))
    current = next((state for state in states if state in _OPEN), None)
    if current is not None:
        raise IllegalMove(f"Something of the crawl job {job.id} is {current}; cancel it first.", current=current)
    refreshing = select(CrawlJob.id).where(
        CrawlJob.project_id == job.project_id,
        CrawlJob.options["refresh_of"].as_integer() == job.id,
        CrawlJob.status.in_(_OPEN),
    )
    other = await session.scalar(refreshing.limit(1))
    if other is not None:
        raise Conflict(f"Crawl job {other} is visiting the images of this one; cancel it or wait for its end.")
    note(session, user_id, "crawl_job.deleted", job, (job.status, None), name=job.name, project_id=job.project_id)
    await session.flush()
    await session.execute(delete_from(CrawlJob).where(CrawlJob.id == job.id))
