"""Projects: made, renamed, archived, deleted."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import BadInput, IllegalMove
from backend.models import CrawlJob, ExportJob, Project, ValidationJob
from backend.models.enums import JobStatus, ProjectStatus
from backend.schemas.projects import ProjectCreate, ProjectUpdate
from backend.services import crawl_jobs
from backend.services.activity import note

_OPEN = (JobStatus.PENDING.value, JobStatus.RUNNING.value)


async def create(session: AsyncSession, user_id: UUID, wanted: ProjectCreate) -> Project:
    """A new, active project."""
    project = Project(user_id=user_id, **wanted.model_dump())
    session.add(project)
    await session.flush()
    note(session, user_id, "project.created", project, (None, project.status), name=project.name)
    return project


async def update(session: AsyncSession, project: Project, wanted: ProjectUpdate, user_id: UUID) -> Project:
    """Change what is given; in a deleted project nothing goes on. Raises BadInput for a name or status of null."""
    before = {name: getattr(project, name) for name in wanted.model_fields_set}
    for name, value in wanted.model_dump(exclude_unset=True, mode="json").items():
        if value is None and name != "description":
            raise BadInput(f"A project's {name} cannot be null; leave the field out to keep it.", field=name)
        setattr(project, name, value)
    if wanted.status is ProjectStatus.DELETED:
        project.deleted_at = datetime.now(UTC)
        await _stop_all(session, project, user_id)
    await session.flush()
    after = {name: getattr(project, name) for name in before}
    note(session, user_id, "project.updated", project, (before, after))
    return project


async def _stop_all(session: AsyncSession, project: Project, user_id: UUID) -> None:
    """Cancel what is pending or under way: nobody could any more."""
    under_way = or_(
        CrawlJob.status.in_(_OPEN),
        CrawlJob.validation_jobs.any(ValidationJob.status.in_(_OPEN)),
        CrawlJob.export_jobs.any(ExportJob.status.in_(_OPEN)),
    )
    query = select(CrawlJob.id).filter_by(project_id=project.id).where(under_way)
    # The newest first: a refresh that starts locks itself, then the job that it refreshes.
    for job_id in (await session.scalars(query.order_by(CrawlJob.id.desc()))).all():
        with suppress(IllegalMove):  # it ended in this moment
            await crawl_jobs.cancel(session, job_id, user_id=user_id)
