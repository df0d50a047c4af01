"""Projects and their crawl jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.http.access import Allow, Reader, Writer
from backend.http.paging import Cursor, Id, paged
from backend.http.service import CurrentService, Session
from backend.models import CrawlJob, Project
from backend.models.enums import ProjectStatus
from backend.schemas.projects import ProjectCreate, ProjectUpdate
from backend.services import projects
from backend.services.access import Scope, owned, seen, visible
from backend.services.allowances import under_way
from backend.web.forms import checked, fields_of
from backend.web.render import go, page

router = APIRouter()
_ON_A_PAGE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCard:
    id: int
    name: str
    description: str | None
    created_at: datetime
    jobs: int
    running: int
    images: int
    valid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectsPage:
    projects: Sequence[ProjectCard]
    archived: bool
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectForm:
    """A new project, or the settings of the one with the id."""

    project_id: int | None = None
    project_name: str = ""
    archived: bool = False
    values: Mapping[str, str]
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    id: int
    name: str
    status: str
    progress: int
    downloaded: int
    valid: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectPage:
    project_id: int
    name: str
    description: str | None
    archived: bool
    changeable: bool
    jobs: Sequence[JobRow]
    next: str | None


@router.get("/")
async def list_projects(
    request: Request, session: Session, actor: Reader, cursor: Cursor = None, archived: bool = False
) -> Response:
    """The newest first, each with what is in it."""
    status = ProjectStatus.ARCHIVED if archived else ProjectStatus.ACTIVE
    query = select(Project).where(visible(actor), Project.status == status.value)
    found = await paged(session, query, Project.id, cursor, _ON_A_PAGE)
    cards = await _cards(session, found.items)
    return page(request, "projects.html", ProjectsPage(projects=cards, archived=archived, next=found.next))


async def _cards(session: AsyncSession, found: Sequence[Project]) -> list[ProjectCard]:
    sums = await session.execute(
        select(
            CrawlJob.project_id,
            func.count(),
            func.count().filter(under_way()),
            func.coalesce(func.sum(CrawlJob.downloaded_images), 0),
            func.coalesce(func.sum(CrawlJob.valid_images), 0),
        )
        .where(CrawlJob.project_id.in_([project.id for project in found]))
        .group_by(CrawlJob.project_id)
    )
    held = {project_id: tuple(counts) for project_id, *counts in sums}
    cards: list[ProjectCard] = []
    for each in found:
        jobs, running, images, valid = held.get(each.id, (0, 0, 0, 0))
        cards.append(
            ProjectCard(
                id=each.id,
                name=each.name,
                description=each.description,
                created_at=each.created_at,
                jobs=jobs,
                running=running,
                images=images,
                valid=valid,
            )
        )
    return cards


@router.get("/projects/new", dependencies=[Depends(Allow(Scope.WRITE))])
async def new_project(request: Request) -> Response:
    """An empty form."""
    return page(request, "project_form.html", ProjectForm(values={}, errors={}))


@router.post("/projects/new")
async def create_project(request: Request, session: Session, actor: Writer) -> Response:
    """Make it and go there, or show what is wrong."""
    given = await fields_of(request)
    wanted, errors = checked(ProjectCreate, _of_form(given))
    if wanted is None:
        return page(request, "project_form.html", ProjectForm(values=given, errors=errors), 422)
    project = await projects.create(session, actor.user_id, wanted)
    return go(f"/projects/{project.id}", f"The project {project.name} is there. Start its first crawl.")


@router.get("/projects/{project_id}")
async def show_project(
    request: Request, session: Session, actor: Reader, project_id: Id, cursor: Cursor = None
) -> Response:
    """Its crawl jobs, the newest first."""
    project = await seen(session, actor, Project, project_id)
    found = await paged(session, select(CrawlJob).filter_by(project_id=project.id), CrawlJob.id, cursor, _ON_A_PAGE)
    jobs = [
        JobRow(
            id=job.id,
            name=job.name,
            status=job.status,
            progress=job.progress,
            downloaded=job.downloaded_images,
            valid=job.valid_images,
            created_at=job.created_at,
        )
        for job in found.items
    ]
    context = ProjectPage(
        project_id=project.id,
        name=project.name,
        description=project.description,
        archived=project.status == ProjectStatus.ARCHIVED,
        changeable=actor.may_change(project.user_id),
        jobs=jobs,
        next=found.next,
    )
    return page(request, "project.html", context)


@router.get("/projects/{project_id}/settings")
async def project_settings(request: Request, session: Session, actor: Writer, project_id: Id) -> Response:
    """Its name and what else can be done with it."""
    project = await owned(session, actor, Project, project_id)
    values = {"name": project.name, "description": project.description or ""}
    return page(request, "project_form.html", _settings(project, values, {}))


@router.post("/projects/{project_id}/settings")
async def update_project(request: Request, session: Session, actor: Writer, project_id: Id) -> Response:
    """Rename it or describe it anew."""
    project = await owned(session, actor, Project, project_id)
    given = await fields_of(request)
    wanted, errors = checked(ProjectUpdate, _of_form(given))
    if wanted is None:
        return page(request, "project_form.html", _settings(project, given, errors), 422)
    await projects.update(session, project, wanted, actor.user_id)
    return go(f"/projects/{project.id}", "Saved.")


@router.post("/projects/{project_id}/status")
async def set_status(
    request: Request, service: CurrentService, session: Session, actor: Writer, project_id: Id
) -> Response:
    """Archive it, bring it back, or hide it with all that is in it."""
    project = await owned(session, actor, Project, project_id)
    given = await fields_of(request)
    wanted, _ = checked(ProjectUpdate, {"status": given.get("status")})
    deleted = wanted is not None and wanted.status is ProjectStatus.DELETED
    if wanted is None or wanted.status is None or (deleted and given.get("sure") != "yes"):
        return go(f"/projects/{project.id}/settings", "Nothing was changed: tick the box first.")
    await projects.update(session, project, wanted, actor.user_id)
    if deleted:
        until = (project.deleted_at or datetime.now(UTC)) + timedelta(days=service.settings.deleted_days)
        told = f"An admin can restore it until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
        return go("/", f"The project {project.name} is deleted. {told}")
    archived = wanted.status is ProjectStatus.ARCHIVED
    return go(f"/projects/{project.id}", "The project is archived." if archived else "The project is active again.")


def _settings(project: Project, values: Mapping[str, str], errors: Mapping[str, str]) -> ProjectForm:
    return ProjectForm(
        project_id=project.id,
        project_name=project.name,
        archived=project.status == ProjectStatus.ARCHIVED,
        values=values,
        errors=errors,
    )


def _of_form(given: Mapping[str, str]) -> dict[str, str | None]:
    description = given.get("description", "").strip()
    return {"name": given.get("name", ""), "description": description or None}
