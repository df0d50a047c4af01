"""`gleanset projects`: look at projects, put them away, delete them."""

from __future__ import annotations

import asyncio
import json as jsonlib
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from backend.cli.crawl import Json
from backend.config import get_settings
from backend.db import Database
from backend.errors import NotFound
from backend.models import Project
from backend.models.enums import ProjectStatus
from backend.schemas.projects import ProjectResponse, ProjectUpdate
from backend.services import profiles, projects

app = typer.Typer(invoke_without_command=True, help="List, archive, restore and delete projects.")

ProjectNumber = Annotated[int, typer.Argument(help="Number of the project.", min=1, max=2**31 - 1)]


@app.callback()
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_projects(limit=20, json=False)


@app.command("list")
def list_projects(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the newest first.")] = 20,
    json: Json = False,
) -> None:
    """The latest projects that are not deleted."""

    async def run() -> list[Project]:
        query = select(Project).where(Project.status != ProjectStatus.DELETED.value).order_by(Project.id.desc())
        async with (
            await asyncio.to_thread(Database.ready, get_settings()) as database,
            database.transaction() as session,
        ):
            return list(await session.scalars(query.limit(limit)))

    found = asyncio.run(run())
    if json:
        typer.echo(jsonlib.dumps([ProjectResponse.model_validate(each).model_dump(mode="json") for each in found]))
        return
    table = Table("project", "name", "status", "created", box=None, pad_edge=False)
    for each in found:
        table.add_row(str(each.id), each.name, each.status, f"{each.created_at.astimezone():%Y-%m-%d %H:%M}")
    Console().print(table if found else "There are no projects yet. Start with: gleanset demo")


@app.command()
def archive(project: ProjectNumber) -> None:
    """Leave a project out of the first page of the web; nothing in it changes."""
    typer.echo(f"Archived: {_update(project, ProjectUpdate(status=ProjectStatus.ARCHIVED))}")


@app.command()
def restore(project: ProjectNumber) -> None:
    """Bring an archived project back."""
    typer.echo(f"Active again: {_update(project, ProjectUpdate(status=ProjectStatus.ACTIVE))}")


@app.command()
def delete(
    project: ProjectNumber, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False
) -> None:
    """Hide a project with all that is in it, and cancel what is under way in it."""
    if not yes:
        typer.confirm(f"Delete project {project} with all that is in it?", abort=True)
    typer.echo(f"Deleted: {_update(project, ProjectUpdate(status=ProjectStatus.DELETED))}")


def _update(number: int, change: ProjectUpdate) -> str:
    """The name of the project that was changed. Raises NotFound."""

    async def run() -> str:
        async with (
            await asyncio.to_thread(Database.ready, get_settings()) as database,
            database.transaction() as session,
        ):
            owner = await profiles.local_owner(session)
            project = await session.get(Project, number)
            if project is None or project.status == ProjectStatus.DELETED:
                raise NotFound(f"There is no project {number}. `gleanset projects list` shows those there are.")
            await projects.update(session, project, change, owner.id)
            return project.name

    return asyncio.run(run())
