"""Projects: made, renamed, archived, deleted."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import BadInput
from backend.models import Project
from backend.schemas.projects import ProjectCreate, ProjectUpdate
from backend.services.activity import note


async def create(session: AsyncSession, user_id: UUID, wanted: ProjectCreate) -> Project:
    """A new, active project."""
    project = Project(user_id=user_id, **wanted.model_dump())
    session.add(project)
    await session.flush()
    note(session, user_id, "project.created", project, name=project.name)
    return project


async def update(session: AsyncSession, project: Project, wanted: ProjectUpdate, user_id: UUID) -> Project:
    """Change what is given. Raises BadInput for a name or status of null."""
    before = {name: getattr(project, name) for name in wanted.model_fields_set}
    for name, value in wanted.model_dump(exclude_unset=True, mode="json").items():
        if value is None and name != "description":
            raise BadInput(f"A project's {name} cannot be null; leave the field out to keep it.")
        setattr(project, name, value)
    await session.flush()
    after = {name: getattr(project, name) for name in before}
    note(session, user_id, "project.updated", project, **{"from": before, "to": after})
    return project
