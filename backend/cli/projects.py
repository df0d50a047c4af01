"""`gleanset projects`: make and look at projects, put them away, delete them and bring them back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.asking import asked, in_transaction
from backend.cli.listing import JsonList, as_api, print_list, when
from backend.cli.rules import Json
from backend.config import get_settings
from backend.db import Database
from backend.errors import NotFound
from backend.models import Project
from backend.models.enums import ProjectStatus
from backend.schemas.projects import DeletedProjectResponse, ProjectCreate, ProjectResponse, ProjectUpdate
from backend.services import deleted_projects, profiles, projects, retention

app = typer.Typer(
    invoke_without_command=True, help="List, create, rename, archive, delete, restore and purge projects."
)

ProjectNumber = Annotated[int, typer.Argument(help="Number of the project.", min=1, max=2**31 - 1)]
ProjectName = Annotated[str, typer.Argument(help="What it is called: 1 to 100 characters.")]


@app.callback()
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_projects(limit=20, deleted=False, json=False)


@app.command("list")
def list_projects(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the newest first.")] = 20,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="Those that are deleted and can still be restored.")
    ] = False,
    json: JsonList = False,
) -> None:
    """The latest projects that are not deleted, or those that are."""

    async def read(session: AsyncSession) -> Sequence[ProjectResponse]:
        if deleted:
            query = deleted_projects.all_of_them().order_by(Project.id.desc()).limit(limit)
            found = (await session.scalars(query)).all()
            return await deleted_projects.described(session, found, get_settings().deleted_days)
        query = select(Project).where(Project.status != ProjectStatus.DELETED.value).order_by(Project.id.desc())
        return [ProjectResponse.model_validate(each) for each in await session.scalars(query.limit(limit))]

    nothing = "No project is deleted." if deleted else "There are no projects yet. Start with: gleanset demo"
    print_list(in_transaction(read), partial(_table, deleted=deleted), nothing, as_api if json else None)


def _table(found: Sequence[ProjectResponse], *, deleted: bool) -> Table:
    last = ("owner", "images", "restorable until") if deleted else ("status", "created")
    table = Table("project", "name", *last, box=None, pad_edge=False)
    for each in found:
        if isinstance(each, DeletedProjectResponse):
            until = each.restorable_until
            cells = (each.owner, f"{each.images:,}", when(until) if until else "being removed")
        else:
            cells = (each.status.value, when(each.created_at))
        table.add_row(str(each.id), Text(each.name), *cells)
    return table


@app.command()
def create(
    name: ProjectName,
    *,
    description: Annotated[str | None, typer.Option(help="What it is for, as its page shows it.")] = None,
    json: Json = False,
) -> None:
    """Make a project, which crawls then belong to by its name.

    For instance: gleanset projects create Birds, and then: gleanset crawl tern --project Birds
    """
    wanted = asked(ProjectCreate, name=name, description=description)

    async def run(session: AsyncSession) -> ProjectResponse:
        owner = await profiles.local_owner(session)
        return ProjectResponse.model_validate(await projects.create(session, owner.id, wanted))

    made = in_transaction(run)
    typer.echo(made.model_dump_json() if json else f"Made project {made.id}: {made.name}")


@app.command()
def rename(
    project: ProjectNumber,
    name: ProjectName,
    *,
    description: Annotated[
        str | None, typer.Option(help="Another description; an empty one takes it away. It stays as it is otherwise.")
    ] = None,
) -> None:
    """Give a project another name, or another description. What is in it stays as it is.

    For instance: gleanset projects rename 3 "Sea birds" --description "For the poster"
    """
    described = {} if description is None else {"description": description or None}
    typer.echo(f"Renamed: {_update(project, asked(ProjectUpdate, name=name, **described))}")


@app.command()
def archive(project: ProjectNumber) -> None:
    """Leave a project out of the first page of the web; nothing in it changes."""
    typer.echo(f"Archived: {_update(project, ProjectUpdate(status=ProjectStatus.ARCHIVED))}")


@app.command()
def restore(project: ProjectNumber) -> None:
    """Bring an archived project back, or a deleted one while it is there; its cancelled jobs can be retried."""

    async def run(session: AsyncSession) -> str:
        owner = await profiles.local_owner(session)
        found = await session.get(Project, project)
        if found is not None and found.status == ProjectStatus.DELETED:
            return (await deleted_projects.restore(session, project, owner.id)).name
        return (await _change(session, project, ProjectUpdate(status=ProjectStatus.ACTIVE))).name

    typer.echo(f"Active again: {in_transaction(run)}")


@app.command()
def delete(
    project: ProjectNumber, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False
) -> None:
    """Hide a project with all that is in it, and cancel what is under way in it. It can be restored for some days."""
    if not yes:
        typer.confirm(f"Delete project {project} with all that is in it?", abort=True)
    deleted = _update(project, ProjectUpdate(status=ProjectStatus.DELETED))
    until = datetime.now(UTC) + timedelta(days=get_settings().deleted_days)
    typer.echo(f"Deleted: {deleted}. Until {when(until)} it comes back with: gleanset projects restore {project}")


@app.command()
def purge(
    project: ProjectNumber, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False
) -> None:
    """Remove a deleted project for good, with its images and their files, without waiting for its days to be over."""
    if not yes:
        typer.confirm(f"Remove project {project} for good? Nobody can bring it back then.", abort=True)

    async def run() -> tuple[str, str]:
        settings = get_settings()
        async with await asyncio.to_thread(Database.ready, settings) as database:
            async with database.transaction() as session:
                owner = await profiles.local_owner(session)
                name = (await deleted_projects.give_up(session, project, owner.id)).name
            return name, await retention.purge(settings, database, project)

    name, trouble = asyncio.run(run())
    typer.echo(f"Removed for good: {name}{f' ({trouble})' if trouble else ''}")


def _update(number: int, change: ProjectUpdate) -> str:
    """The name of the project that was changed. Raises NotFound."""

    async def run(session: AsyncSession) -> str:
        return (await _change(session, number, change)).name

    return in_transaction(run)


async def _change(session: AsyncSession, number: int, change: ProjectUpdate) -> Project:
    owner = await profiles.local_owner(session)
    project = await session.get(Project, number)
    if project is None or project.status == ProjectStatus.DELETED:
        raise NotFound(f"There is no project {number}. `gleanset projects list` shows those there are.")
    return await projects.update(session, project, change, owner.id)
