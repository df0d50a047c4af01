"""Who works here: in local mode one owner, without a password."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import Profile, Project
from backend.models.enums import ProjectStatus, Role
from backend.services.activity import note

LOCAL_OWNER = UUID("00000000-0000-4000-8000-000000000001")


async def local_owner(session: AsyncSession) -> Profile:
    """The profile of the person at this machine, made when it is missing."""
    made = await session.scalar(
        insert(Profile)
        .values(id=LOCAL_OWNER, email="owner@localhost", full_name="Local owner", role=Role.ADMIN.value)
        .on_conflict_do_nothing()
        .returning(Profile.id)
    )
    owner = (await session.scalars(select(Profile).filter_by(id=LOCAL_OWNER))).one()
    if made is not None:
        note(session, owner.id, "user.created", owner, (None, owner.role), email=owner.email, role=owner.role)
    return owner


async def project_named(session: AsyncSession, owner: Profile, name: str) -> Project:
    """The owner's active project of this name, made when it is missing."""
    # The owner's row is locked so that two commands at once do not make the project twice.
    await session.refresh(owner, with_for_update=True)
    found = await session.scalar(
        select(Project).filter_by(user_id=owner.id, name=name, status=ProjectStatus.ACTIVE.value).order_by(Project.id)
    )
    if found is None:
        found = Project(name=name, user_id=owner.id)
        session.add(found)
        await session.flush()
        note(session, owner.id, "project.created", found, (None, found.status), name=name)
    return found
