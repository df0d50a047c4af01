"""Who may do what: one answer for the API, the pages and the command line.

People see what is theirs. Moderators see everything and may take pictures down; admins may do everything. What somebody
may not see does not exist for them (NotFound), so that ids tell nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import NotAllowed, NotFound
from backend.models import CrawlChunk, CrawlJob, ExportJob, Image, Project, ValidationJob
from backend.models.enums import ProjectStatus, Role, Scope

_RANK = {Role.USER: 0, Role.MODERATOR: 1, Role.ADMIN: 2}
_WIDTH = {Scope.READ: 0, Scope.WRITE: 1, Scope.ADMIN: 2}

Owned = Project | CrawlJob | CrawlChunk | Image | ValidationJob | ExportJob
AnyOwned = TypeVar("AnyOwned", Project, CrawlJob, CrawlChunk, Image, ValidationJob, ExportJob)

# How each kind of thing leads to the project that it belongs to.
_TO_PROJECT: dict[type[Any], tuple[Any, ...]] = {
    Project: (),
    CrawlJob: (CrawlJob.project,),
    CrawlChunk: (CrawlChunk.crawl_job, CrawlJob.project),
    Image: (Image.crawl_job, CrawlJob.project),
    ValidationJob: (ValidationJob.crawl_job, CrawlJob.project),
    ExportJob: (ExportJob.crawl_job, CrawlJob.project),
}
_NOUN = {
    Project: "project",
    CrawlJob: "crawl job",
    CrawlChunk: "chunk",
    Image: "image",
    ValidationJob: "validation job",
    ExportJob: "export job",
}
# A number that the column cannot hold would be an error of the database.
_HIGHEST = {kind: 2**63 - 1 if kind in {CrawlChunk, Image} else 2**31 - 1 for kind in _NOUN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks. `scope` is what the credential is good for; people who are logged in have all of it."""

    user_id: UUID
    role: Role = Role.USER
    scope: Scope = Scope.ADMIN

    def is_at_least(self, role: Role) -> bool:
        return _RANK[self.role] >= _RANK[role]

    def may_change(self, owner: UUID) -> bool:
        """Whether what belongs to this person is the actor's to change; `owned` asks the same of the database."""
        return self.is_at_least(Role.ADMIN) or self.user_id == owner

    def require(self, role: Role, scope: Scope) -> None:
        """Raises NotAllowed when the role or the credential's scope does not reach that far."""
        if not self.is_at_least(role):
            raise NotAllowed(f"This is for the role {role}; yours is {self.role}.")
        if _WIDTH[self.scope] < _WIDTH[scope]:
            raise NotAllowed(f"This API key has the scope {self.scope}; {scope} is needed.")


def visible(actor: Actor) -> ColumnElement[bool]:
    """Which projects the actor may see: a condition on `Project`."""
    alive = Project.status != ProjectStatus.DELETED.value
    return alive & (true() if actor.is_at_least(Role.MODERATOR) else Project.user_id == actor.user_id)


def changeable(actor: Actor) -> ColumnElement[bool]:
    """Which projects the actor may change: a condition on `Project`."""
    alive = Project.status != ProjectStatus.DELETED.value
    return alive & (true() if actor.is_at_least(Role.ADMIN) else Project.user_id == actor.user_id)


def within(query: Select[Any], kind: type[Owned], condition: ColumnElement[bool]) -> Select[Any]:
    """The query over things of this kind, narrowed to projects that meet the condition."""
    for step in _TO_PROJECT[kind]:
        query = query.join(step)
    return query.where(condition)


@cache
def _seeing(kind: type[Owned], *, all_of_them: bool) -> Select[Any]:
    """The thing `key`, if `who` sees it. Every request asks such a thing; put together once: that takes as long."""
    alive = Project.status != ProjectStatus.DELETED.value
    mine = true() if all_of_them else Project.user_id == bindparam("who")
    return within(select(kind), kind, alive & mine).where(kind.id == bindparam("key"))


async def seen(session: AsyncSession, actor: Actor, kind: type[AnyOwned], key: int) -> AnyOwned:
    """The thing with this id, for reading. Raises NotFound."""
    query = _seeing(kind, all_of_them=actor.is_at_least(Role.MODERATOR))
    return await _found(session, kind, key, query, {"who": actor.user_id, "key": key})


async def owned(session: AsyncSession, actor: Actor, kind: type[AnyOwned], key: int) -> AnyOwned:
    """The thing with this id, for changing it. Raises NotFound, or NotAllowed when the actor may only look at it."""
    found = within(select(kind.id), kind, changeable(actor)).where(kind.id == key)
    if not 0 < key <= _HIGHEST[kind] or await session.scalar(found) is None:
        await seen(session, actor, kind, key)
        raise NotAllowed(f"You may look at this {_NOUN[kind]}, but it is not yours to change.")
    return await session.get_one(kind, key)


async def _found(
    session: AsyncSession, kind: type[AnyOwned], key: int, query: Select[Any], values: Mapping[str, Any]
) -> AnyOwned:
    found = await session.scalar(query, values) if 0 < key <= _HIGHEST[kind] else None
    if found is None:
        raise NotFound(f"There is no {_NOUN[kind]} {key}.")
    return found


async def alive(session: AsyncSession, kind: type[AnyOwned], key: int) -> AnyOwned:
    """The thing with this id, for somebody who has another proof than a login. Raises NotFound."""
    return await _found(session, kind, key, _seeing(kind, all_of_them=True), {"key": key})
