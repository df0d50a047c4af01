"""Who did what, when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.orm import joinedload

from backend.http.access import Reader
from backend.http.paging import Cursor, paged
from backend.http.service import Session
from backend.models import ActivityLog
from backend.models.enums import Role
from backend.services import activity
from backend.web.render import page

router = APIRouter()
_ON_A_PAGE = 50
_LONGEST = 200
_ELSEWHERE = {"name", "by", "decided_before"}
"""What is noted and told in another column, or too long for a line."""
_PAGES = {"projects": "/projects/", "crawl_jobs": "/jobs/"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`path` leads to what it is about, where that has a page."""

    at: datetime
    who: str
    action: str
    about: str
    path: str | None
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPage:
    entries: Sequence[Entry]
    everybody: bool
    next: str | None


@router.get("/activity")
async def show_activity(request: Request, session: Session, actor: Reader, cursor: Cursor = None) -> Response:
    """The newest first: your own, or everybody's for those who look after others."""
    everybody = actor.is_at_least(Role.MODERATOR)
    query, entry = await activity.entries(session, actor)
    found = await paged(session, query.options(joinedload(entry.user)), entry.id, cursor, _ON_A_PAGE)
    entries = [_entry(row) for row in found.items]
    return page(request, "activity.html", ActivityPage(entries=entries, everybody=everybody, next=found.next))


def _entry(row: ActivityLog) -> Entry:
    kind, key = row.resource_type or "", row.resource_id or ""
    metadata = row.metadata_ or {}
    named = metadata.get("name")
    noun = kind.replace("_", " ").removesuffix("s")
    return Entry(
        at=row.timestamp,
        who=row.user.email if row.user else str(metadata.get("by", "somebody who is gone")),
        action=row.action,
        about=str(named) if named else f"{noun} {key}".strip(),
        path=_PAGES[kind] + key if kind in _PAGES and key.isdigit() else None,
        details=_told({name: value for name, value in metadata.items() if name not in _ELSEWHERE}),
    )


def _state(state: Any) -> str:
    if isinstance(state, dict):  # how many were in which
        counts = cast("dict[str, Any]", state)
        return ", ".join(f"{count} {name}" for name, count in counts.items())
    return "nothing" if state is None else str(state)


def _told(metadata: Mapping[str, Any]) -> str:
    """What is noted with it, in a line: changes as `before → after`."""
    rest = dict(metadata)
    before, after = rest.pop("from", None), rest.pop("to", None)
    parts: list[str] = []
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        parts += [f"{name}: {old.get(name)} → {value}" for name, value in new.items() if old.get(name) != value]
    elif before != after:
        parts.append(f"{_state(before)} → {_state(after)}")
    parts += [f"{name.replace('_', ' ')}: {value}" for name, value in rest.items()]
    told = ", ".join(parts)
    return told if len(told) <= _LONGEST else told[:_LONGEST] + "…"
