"""Deleted projects: hidden from everybody but admins, who can restore them until they are removed for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend import queue
from backend.errors import Conflict, NotFound
from backend.models import ActivityLog, CrawlChunk, CrawlJob, Profile, Project
from backend.models.enums import ProjectStatus
from backend.schemas.projects import DeletedProjectResponse, ProjectResponse
from backend.services.activity import note

PURGE_TASK = "retention.purge"
_HIGHEST = 2**31 - 1


def all_of_them() -> Select[Any]:
    """Every project that is deleted and not removed yet."""
    return select(Project).where(Project.status == ProjectStatus.DELETED.value)


async def described(session: AsyncSession, found: Sequence[Project], days: int) -> list[DeletedProjectResponse]:
    """What an admin wants to know of them. `days`: for how long a deleted project stays."""
    ids = [project.id for project in found]
    images = await _sums(session, ids, func.sum(CrawlJob.downloaded_images - CrawlJob.duplicate_images), chunks=False)
    sizes = await _sums(session, ids, func.sum(CrawlChunk.bytes), chunks=True)
    owners = select(Profile.id, Profile.email).where(Profile.id.in_({project.user_id for project in found}))
    emails = {row.id: row.email for row in await session.execute(owners)}
    return [
        DeletedProjectResponse(
            **ProjectResponse.model_validate(each).model_dump(),
            deleted_at=each.deleted_at,
            restorable_until=each.deleted_at + timedelta(days=days)
            if each.deleted_at and each.purge_began_at is None
            else None,
            owner=emails[each.user_id],
            images=images.get(each.id, 0),
            bytes=sizes.get(each.id, 0),
        )
        for each in found
    ]


async def _sums(session: AsyncSession, ids: Sequence[int], total: Any, *, chunks: bool) -> dict[int, int]:
    query = select(CrawlJob.project_id, total).where(CrawlJob.project_id.in_(ids)).group_by(CrawlJob.project_id)
    rows = await session.execute(query.join(CrawlJob.chunks) if chunks else query)
    return {project_id: int(amount or 0) for project_id, amount in rows}


async def held(session: AsyncSession, project_id: int) -> Project:
    """The deleted project, locked until the end of the transaction. Raises NotFound."""
    query = all_of_them().where(Project.id == project_id).with_for_update().execution_options(populate_existing=True)
    project: Project | None = await session.scalar(query) if 0 < project_id <= _HIGHEST else None
    if project is None:
        raise NotFound(f"There is no deleted project {project_id}.")
    return project


async def restore(session: AsyncSession, project_id: int, user_id: UUID | None) -> Project:
    """Bring it back with all that is in it; its jobs stay cancelled. Raises NotFound, Conflict when it is too late."""
    project = await held(session, project_id)
    if project.purge_began_at is not None:
        raise Conflict(f"The project {project.name} is being removed for good; part of it is gone.")
    project.status, project.deleted_at = await _before(session, project), None
    await session.flush()
    note(session, user_id, "project.restored", project, ("deleted", project.status), name=project.name)
    return project


async def _before(session: AsyncSession, project: Project) -> str:
    """What it was when it was deleted."""
    said = ActivityLog.metadata_
    noted = select(said["from"]["status"].as_string()).where(
        ActivityLog.resource_type == Project.__tablename__,
        ActivityLog.resource_id == str(project.id),
        said["to"]["status"].as_string() == ProjectStatus.DELETED.value,
    )
    status = await session.scalar(noted.order_by(ActivityLog.id.desc()).limit(1))
    return ProjectStatus.ARCHIVED.value if status == ProjectStatus.ARCHIVED else ProjectStatus.ACTIVE.value


async def give_up(session: AsyncSession, project_id: int, user_id: UUID | None) -> Project:
    """From now on it cannot be restored: workers remove it for good. Raises NotFound."""
    project = await held(session, project_id)
    if project.purge_began_at is None:
        project.purge_began_at = datetime.now(UTC)
        note(session, user_id, "project.given_up", project, ("deleted", "being removed"), name=project.name)
    await session.flush()
    return project


async def purge_soon(session: AsyncSession, project_id: int, user_id: UUID | None) -> Project:
    """Give it up, and let a worker begin at once. Raises NotFound."""
    project = await give_up(session, project_id, user_id)
    await queue.defer_maintenance(session, PURGE_TASK, project_id=project_id)
    return project
