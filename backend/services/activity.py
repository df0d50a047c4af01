"""The activity log: every change writes its entry in the transaction that makes the change."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.errors import NotAllowed, NotFound
from backend.models import ActivityLog, ApiKey, Base, CrawlJob, ExportJob, Profile, Project, ValidationJob
from backend.models.enums import Role
from backend.services.access import Actor, visible, within

_OWNED = {kind.__tablename__: kind for kind in (Project, CrawlJob, ValidationJob, ExportJob)}


def note(
    session: AsyncSession, user_id: UUID | None, action: str, on: Base | str, change: tuple[Any, Any], **metadata: Any
) -> None:
    """Remember who did what to which row, or to what kind of thing where it has none; `action` is `noun.verb`.

    change: the state before and the one after; None for what is not there. user_id: None for a worker, or for who
    `by` in the metadata tells.
    """
    before, after = change
    by = {"by": "worker"} if user_id is None and "by" not in metadata else {}
    session.add(
        ActivityLog(
            user_id=user_id,
            action=action,
            resource_type=on if isinstance(on, str) else type(on).__tablename__,
            resource_id=None if isinstance(on, str) else str(getattr(on, "id", "")),
            metadata_={"from": before, "to": after} | by | metadata,
            owner_id=_owner_of(on),
        )
    )


def note_own(
    session: AsyncSession,
    person_id: UUID,
    action: str,
    on: Base,
    change: tuple[Any, Any],
    *,
    operator: bool = False,
    **metadata: Any,
) -> None:
    """`note` for what people do with their own account, or whoever has the machine does for them (`operator`)."""
    by = {"by": "command line"} if operator else {}
    note(session, None if operator else person_id, action, on, change, **by, **metadata)


def _owner_of(on: Base | str) -> Any:
    """Whose the thing is, or a question to the database for it; None for what is nobody's."""
    match on:
        case Profile():
            return on.id
        case Project() | ApiKey():
            return on.user_id
        case CrawlJob():
            return select(Project.user_id).where(Project.id == on.project_id).scalar_subquery()
        case ValidationJob() | ExportJob():
            owner = select(Project.user_id).join(CrawlJob, CrawlJob.project_id == Project.id)
            return owner.where(CrawlJob.id == on.crawl_job_id).scalar_subquery()
        case _:
            return None


async def entries(
    session: AsyncSession,
    actor: Actor,
    *,
    user_id: UUID | None = None,
    action: str | None = None,
    resource: tuple[str, int] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[Select[ActivityLog], type[ActivityLog]]:
    """The entries that the actor may read, and what the query calls them; of a person, of actions that begin so,
    from `since` on, before `until`.

    People read what they did and what was done to theirs, by whomever; moderators everything. Of a `resource`, by
    table and id, that the actor may see there are all entries. Raises NotFound for another's resource, NotAllowed for
    another person.
    """
    everybody = actor.is_at_least(Role.MODERATOR)
    if user_id not in {None, actor.user_id} and not everybody:
        raise NotAllowed("What other people did is for moderators.")
    entry = ActivityLog if everybody or resource is not None else _concerning(actor.user_id)
    query = select(entry)
    if resource is not None:
        kind, key = resource
        query = query.where(entry.resource_type == kind, entry.resource_id == str(key))
        if not everybody and kind in _OWNED:
            await _check_seen(session, actor, kind, key)
        elif not everybody:
            query = query.where((entry.user_id == actor.user_id) | (entry.owner_id == actor.user_id))
    if user_id is not None:
        query = query.where(entry.user_id == user_id)
    if action is not None:
        query = query.where(entry.action.startswith(action, autoescape=True))
    if since is not None:
        query = query.where(entry.timestamp >= since)
    if until is not None:
        query = query.where(entry.timestamp < until)
    return query, entry


def _concerning(user_id: UUID) -> type[ActivityLog]:
    """What was done to the person's things, and what they did elsewhere: two indexes, read from their new end."""
    log = ActivityLog.__table__
    theirs = select(log).where(log.c.owner_id == user_id)
    elsewhere = select(log).where(log.c.user_id == user_id, log.c.owner_id.is_distinct_from(log.c.user_id))
    return aliased(ActivityLog, union_all(theirs, elsewhere).subquery())


async def _check_seen(session: AsyncSession, actor: Actor, table: str, key: int) -> None:
    kind = _OWNED[table]
    if await session.scalar(within(select(kind.id), kind, visible(actor)).where(kind.id == key)) is None:
        raise NotFound(f"There is nothing with the number {key} among your {table.replace('_', ' ')}.")
