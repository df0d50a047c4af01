"""Who works here: in local mode one owner, without a password."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import Profile, Project
from backend.models.enums import ProjectStatus, Role

LOCAL_OWNER = UUID("00000000-0000-4000-8000-000000000001")


async def local_owner(session: AsyncSession) -> Profile:
    """The profile of the person at this machine, made when it is missing."""
    await session.execute(
        insert(Profile)
        .values(id=LOCAL_OWNER, email="owner@localhost", full_name="Local owner", role=Role.ADMIN.value)
        .on_conflict_do_nothing()
    )
    return (await session.scalars(select(Profile).filter_by(id=LOCAL_OWNER))).one()


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
    return found
