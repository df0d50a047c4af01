"""Deleted projects, for admins: restored while they are there, or removed for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.errors import Conflict
from backend.http.access import Admin
from backend.http.paging import Cursor, Id, paged
from backend.http.service import CurrentService, Session
from backend.models import Project
from backend.schemas.projects import DeletedProjectResponse
from backend.services import deleted_projects
from backend.web.forms import fields_of
from backend.web.render import go, page

router = APIRouter(prefix="/admin/projects")
_ON_A_PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedProjectsPage:
    """`days`: for how long a deleted project stays."""

    projects: Sequence[DeletedProjectResponse]
    next: str | None
    days: int


@router.get("")
async def show_deleted_projects(
    request: Request, service: CurrentService, session: Session, _actor: Admin, cursor: Cursor = None
) -> Response:
    """Everybody's, the newest project first."""
    days = service.settings.deleted_days
    found = await paged(session, deleted_projects.all_of_them(), Project.id, cursor, _ON_A_PAGE)
    shown = await deleted_projects.described(session, found.items, days)
    return page(request, "deleted_projects.html", DeletedProjectsPage(projects=shown, next=found.next, days=days))


@router.post("/{deleted_id}/restore")
async def restore(session: Session, actor: Admin, deleted_id: Id) -> Response:
    """Bring it back to its owner."""
    try:
        project = await deleted_projects.restore(session, deleted_id, actor.user_id)
    except Conflict as error:
        return go("/admin/projects", str(error))
    return go(f"/projects/{project.id}", "The project is back. What was under way in it is cancelled.")


@router.post("/{deleted_id}/purge")
async def purge(request: Request, session: Session, actor: Admin, deleted_id: Id) -> Response:
    """Remove it for good without waiting."""
    if (await fields_of(request)).get("sure") != "yes":
        return go("/admin/projects", "Nothing was removed: tick the box first.")
    project = await deleted_projects.purge_soon(session, deleted_id, actor.user_id)
    return go("/admin/projects", f"The project {project.name} is being removed for good.")
