"""Projects: containers of crawl jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select

from backend.http.access import Reader, Writer
from backend.http.paging import Cursor, Limit, Page, paged
from backend.http.service import CurrentService, Session
from backend.models import Project
from backend.models.enums import ProjectStatus
from backend.schemas.base import Name
from backend.schemas.projects import DeletedProjectResponse, ProjectCreate, ProjectResponse, ProjectUpdate
from backend.services import deleted_projects, projects
from backend.services.access import owned, seen, visible

router = APIRouter(prefix="/projects", tags=["projects"])


@router.get("")
async def list_projects(
    session: Session,
    actor: Reader,
    name: Annotated[Name | None, Query(description="Only those of this name.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ProjectResponse]:
    """The newest first."""
    query = select(Project).where(visible(actor))
    if name is not None:
        query = query.where(Project.name == name)
    return await paged(session, query, Project.id, cursor, limit)


@router.post("", status_code=201)
async def create_project(session: Session, actor: Writer, body: ProjectCreate) -> ProjectResponse:
    """A new project of your own."""
    return ProjectResponse.model_validate(await projects.create(session, actor.user_id, body))


@router.get("/{project_id}")
async def show_project(session: Session, actor: Reader, project_id: int) -> ProjectResponse:
    """One project."""
    return ProjectResponse.model_validate(await seen(session, actor, Project, project_id))


@router.patch("/{project_id}")
async def update_project(
    service: CurrentService, session: Session, actor: Writer, project_id: int, body: ProjectUpdate
) -> ProjectResponse | DeletedProjectResponse:
    """Name, description or status; what is left out stays. With the status `deleted`, as if it were deleted."""
    project = await owned(session, actor, Project, project_id)
    await projects.update(session, project, body, actor.user_id)
    if body.status is ProjectStatus.DELETED:
        return (await deleted_projects.described(session, [project], service.settings.deleted_days))[0]
    return ProjectResponse.model_validate(project)


@router.delete("/{project_id}")
async def delete_project(
    service: CurrentService, session: Session, actor: Writer, project_id: int
) -> DeletedProjectResponse:
    """Hide the project and all that is in it; what is under way is cancelled.

    The answer tells until when an admin can restore it. Then it is removed for good; its images count until then.
    """
    project = await owned(session, actor, Project, project_id)
    await projects.update(session, project, ProjectUpdate(status=ProjectStatus.DELETED), actor.user_id)
    return (await deleted_projects.described(session, [project], service.settings.deleted_days))[0]
