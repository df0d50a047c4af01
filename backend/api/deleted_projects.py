"""Deleted projects, for admins: restored while they are there, or removed for good."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from backend.http.access import Admin, Allow
from backend.http.paging import Cursor, Limit, Page, paged
from backend.http.service import CurrentService, Session
from backend.models import Project
from backend.models.enums import Role, Scope
from backend.schemas.projects import DeletedProjectResponse, ProjectResponse
from backend.services import deleted_projects

router = APIRouter(prefix="/deleted-projects", tags=["administration"])


@router.get("", dependencies=[Depends(Allow(Scope.ADMIN, Role.ADMIN))])
async def list_deleted_projects(
    service: CurrentService, session: Session, cursor: Cursor = None, limit: Limit = 50
) -> Page[DeletedProjectResponse]:
    """Everybody's, the newest project first, each with what is in it and until when it can be restored."""
    found = await paged(session, deleted_projects.all_of_them(), Project.id, cursor, limit)
    items = await deleted_projects.described(session, found.items, service.settings.deleted_days)
    return Page(items=items, next=found.next)


@router.post("/{deleted_id}/restore")
async def restore_project(session: Session, actor: Admin, deleted_id: int) -> ProjectResponse:
    """Bring it back to its owner with all that is in it; jobs that were cancelled with it can be retried."""
    return ProjectResponse.model_validate(await deleted_projects.restore(session, deleted_id, actor.user_id))


@router.delete("/{deleted_id}", status_code=202)
async def purge_project(
    service: CurrentService, session: Session, actor: Admin, deleted_id: int
) -> DeletedProjectResponse:
    """Remove it for good without waiting: a worker begins at once, and nobody can restore it from now on."""
    project = await deleted_projects.purge_soon(session, deleted_id, actor.user_id)
    return (await deleted_projects.described(session, [project], service.settings.deleted_days))[0]
