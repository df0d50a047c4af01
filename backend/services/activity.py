"""The activity log: every change writes its entry in the transaction that makes the change."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import NotAllowed, NotFound
from backend.models import ActivityLog, Base, CrawlJob, ExportJob, Project, ValidationJob
from backend.models.enums import Role
from backend.services.access import Actor, visible, within

_OWNED = {kind.__tablename__: kind for kind in (Project, CrawlJob, ValidationJob, ExportJob)}


def note(session: AsyncSession, user_id: UUID | None, action: str, on: Base, **metadata: Any) -> None:
    """Remember who did what to which row; `action` is `noun.verb`."""
    session.add(
        ActivityLog(
            user_id=user_id,
            action=action,
            resource_type=type(on).__tablename__,
            resource_id=str(getattr(on, "id", "")),
            metadata_=metadata or None,
        )
    )


async def entries(
    session: AsyncSession,
    actor: Actor,
    *,
    user_id: UUID | None = None,
    action: str | None = None,
    resource: tuple[str, int] | None = None,
) -> Select[ActivityLog]:
    """The entries that the actor may read, own ones or everybody's; of a person, of actions that begin so.

    Of a `resource`, by table and id, that the actor may see there are all entries, those of workers too.
    Raises NotFound for another's resource, NotAllowed for another person.
    """
    everybody = actor.is_at_least(Role.MODERATOR)
    if user_id not in {None, actor.user_id} and not everybody:
        raise NotAllowed("What other people did is for moderators.")
    query = select(ActivityLog)
    if resource is not None:
        kind, key = resource
        query = query.where(ActivityLog.resource_type == kind, ActivityLog.resource_id == str(key))
        if not everybody and kind in _OWNED:
            await _check_seen(session, actor, kind, key)
            everybody = True
    if user_id is not None or not everybody:
        query = query.where(ActivityLog.user_id == (user_id or actor.user_id))
    return query if action is None else query.where(ActivityLog.action.startswith(action, autoescape=True))


async def _check_seen(session: AsyncSession, actor: Actor, table: str, key: int) -> None:
    kind = _OWNED[table]
    if await session.scalar(within(select(kind.id), kind, visible(actor)).where(kind.id == key)) is None:
        raise NotFound(f"There is nothing with the number {key} among your {table.replace('_', ' ')}.")
