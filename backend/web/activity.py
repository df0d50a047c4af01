"""Who did what, when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, cast
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from backend.http.access import Reader
from backend.http.paging import Cursor, paged
from backend.http.service import Session
from backend.models import ActivityLog, ExportJob, Profile, ValidationJob
from backend.models.enums import Role
from backend.schemas.base import RowId
from backend.services import activity
from backend.services.access import Actor
from backend.web.render import page

router = APIRouter()
_ON_A_PAGE = 50
_LONGEST = 200
_ELSEWHERE = {"name", "email", "by", "decided_before", "crawl_job_id", "project_id", "takedown_id"}
"""What is noted and told in another place, leads there, or is too long for a line."""
_PAGES = {"projects": "/projects/{}", "crawl_jobs": "/jobs/{}"}
_OF_JOBS: Mapping[str, tuple[type[ValidationJob | ExportJob], str]] = {
    "validation_jobs": (ValidationJob, "/jobs/{}/validation#past"),
    "export_jobs": (ExportJob, "/jobs/{}/exports"),
}
_KINDS = {"projects": "project", "api_keys": "API key", "profiles": "account", "lists": "list"}
ACTIONS = (
    ("project.", "Projects"), ("crawl_job.", "Crawls"), ("validation_job.", "Validations"), ("export_job.", "Exports"),
    ("decisions.", "Decisions"), ("list.", "Uploaded lists"), ("session.", "Log-ins"), ("api_key.", "API keys"),
    ("user.", "Accounts"), ("takedown.", "Takedowns"),
)  # fmt: skip
"""Beginnings of actions, as the API takes them, in words."""

_Begins = Annotated[str | None, Query(pattern=r"^[a-z_.]{0,50}$")]
_Kind = Annotated[str | None, Query(pattern=r"^[a-z_]{1,50}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`path` leads to what it is about, where that has a page, and `history` to all that was done to it."""

    at: datetime
    who: str
    user_id: UUID | None
    action: str
    about: str
    path: str | None
    history: str | None
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPage:
    """`query`: what is asked for, as an address has it; `about` a thing, when it is one alone."""

    entries: Sequence[Entry]
    everybody: bool
    next: str | None
    actions: Sequence[tuple[str, str]]
    values: Mapping[str, str]
    query: str
    me: UUID
    person: str | None
    about: str | None


@router.get("/activity")
async def show_activity(
    request: Request,
    session: Session,
    actor: Reader,
    action: _Begins = None,
    user_id: Annotated[UUID | None, Query()] = None,
    resource_type: _Kind = None,
    resource_id: Annotated[RowId | None, Query()] = None,
    cursor: Cursor = None,
) -> Response:
    """The newest first: your own, or everybody's for those who look after others; by action, person or thing."""
    resource = (resource_type, resource_id) if resource_type and resource_id else None
    query, entry = await activity.entries(session, actor, user_id=user_id, action=action or None, resource=resource)
    found = await paged(session, query.options(joinedload(entry.user)), entry.id, cursor, _ON_A_PAGE)
    person = await session.get(Profile, user_id) if user_id else None
    kind, number = resource or (None, None)
    asked = (("action", action), ("user_id", user_id), ("resource_type", kind), ("resource_id", number))
    values = {name: str(value) for name, value in asked if value}
    context = ActivityPage(
        entries=await _entries(session, actor, found.items),
        everybody=actor.is_at_least(Role.MODERATOR),
        next=found.next,
        actions=ACTIONS,
        values=values,
        query=urlencode(values),
        me=actor.user_id,
        person=person.email if person else None,
        about=f"{_noun(resource[0])} {resource[1]}" if resource else None,
    )
    return page(request, "activity.html", context)


async def _entries(session: AsyncSession, actor: Actor, rows: Sequence[ActivityLog]) -> list[Entry]:
    """With what they are about looked up, a question for each kind of thing."""
    paths: dict[tuple[str, str], str] = {}
    for kind, (model, path) in _OF_JOBS.items():
        wanted = {int(row.resource_id or 0) for row in rows if row.resource_type == kind and _is_number(row)}
        if wanted:
            found = await session.execute(select(model.id, model.crawl_job_id).where(model.id.in_(wanted)))
            paths |= {(kind, str(number)): path.format(crawl_job_id) for number, crawl_job_id in found}
    people = {row.resource_id for row in rows if row.resource_type == "profiles"}
    emails: dict[str, str] = {}
    if people:
        found = await session.execute(select(Profile.id, Profile.email).where(Profile.id.in_(map(UUID, people))))
        emails = {str(number): email for number, email in found}
    return [_entry(row, actor, paths, emails) for row in rows]


def _entry(row: ActivityLog, actor: Actor, paths: Mapping[tuple[str, str], str], emails: Mapping[str, str]) -> Entry:
    kind, key = row.resource_type or "", row.resource_id or ""
    metadata = row.metadata_ or {}
    named = metadata.get("name") or metadata.get("email") or emails.get(key)
    mine = kind == "profiles" and key == str(actor.user_id)
    path = paths.get((kind, key)) or (_PAGES[kind].format(key) if kind in _PAGES and _is_number(row) else None)
    if kind == "api_keys" and row.user_id == actor.user_id:
        path = "/account/keys"
    elif kind == "takedowns" and actor.is_at_least(Role.MODERATOR):
        path = "/admin/takedowns"
    elif kind == "profiles":
        path = "/account" if mine else "/admin/users" if actor.is_at_least(Role.ADMIN) else None
    return Entry(
        at=row.timestamp,
        who=_who(row, actor),
        user_id=row.user_id,
        action=row.action,
        about=f"{_noun(kind)} {named or ('' if kind == 'profiles' else key)}".strip(),
        path=path,
        history=urlencode({"resource_type": kind, "resource_id": key}) if path and _is_number(row) else None,
        details=_told({name: value for name, value in metadata.items() if name not in _ELSEWHERE}),
    )


def _who(row: ActivityLog, actor: Actor) -> str:
    """Whose doing it was. Who acts for the service is named to others who do, and not to those whose things it was."""
    if row.user is None:
        return str((row.metadata_ or {}).get("by", "somebody who is gone"))
    if row.user_id == actor.user_id or actor.is_at_least(Role.MODERATOR):
        return row.user.email
    return {Role.ADMIN: "an admin", Role.MODERATOR: "a moderator"}.get(Role(row.user.role), "somebody else")


def _is_number(row: ActivityLog) -> bool:
    return bool(row.resource_id and row.resource_id.isdecimal() and len(row.resource_id) < 10)


def _noun(kind: str) -> str:
    return _KINDS.get(kind, kind.replace("_", " ").removesuffix("s"))


def _told(metadata: Mapping[str, Any]) -> str:
    """What is noted with it, in a line: changes as `before → after`, lists with commas."""
    rest = dict(metadata)
    before, after = rest.pop("from", None), rest.pop("to", None)
    parts: list[str] = []
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        parts += [
            f"{_words(name)}: {_plain(old.get(name))} → {_plain(value)}"
            for name, value in new.items()
            if old.get(name) != value
        ]
    elif before is not None and after is not None and before != after:
        parts.append(f"{_plain(before)} → {_plain(after)}")
    elif before is not None or after is not None:
        parts.append(f"now {_plain(after)}" if after is not None else f"was {_plain(before)}")
    parts += [f"{_words(name)}: {_plain(value)}" for name, value in rest.items()]
    told = ", ".join(parts)
    return told if len(told) <= _LONGEST else told[:_LONGEST] + "…"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: Any) -> str:
    """A value for people: no brackets, quotes or names of other programs."""
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_plain(each) for each in cast("list[Any]", value))
    if isinstance(value, dict):
        return ", ".join(f"{_words(name)} {_plain(each)}" for name, each in cast("dict[str, Any]", value).items())
    return str(value)
