"""Takedowns, for moderators: what nobody may have any more, and how to add to it or take it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from backend.http.access import Moderator
from backend.http.paging import Cursor, Id, paged
from backend.http.service import CurrentService, Session, release
from backend.models import Takedown
from backend.schemas.takedowns import TakedownCreate, asked_of
from backend.services import takedowns
from backend.web.filters import count
from backend.web.forms import checked, fields_of
from backend.web.render import go, page

router = APIRouter(prefix="/admin/takedowns")
_ON_A_PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TakedownRow:
    """`what`: the address or the SHA-256."""

    id: int
    what: str
    note: str | None
    who: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TakedownsPage:
    takedowns: Sequence[TakedownRow]
    next: str | None
    values: Mapping[str, str]
    errors: Mapping[str, str]


@router.get("")
async def show_takedowns(request: Request, session: Session, _: Moderator, cursor: Cursor = None) -> Response:
    """The newest first, and a form for one more."""
    return page(request, "takedowns.html", await _page(session, cursor, {}, {}))


@router.post("")
async def take_down(request: Request, service: CurrentService, request_session: Session, actor: Moderator) -> Response:
    """Remove it everywhere, in all projects, and refuse it from now on."""
    given = await fields_of(request)
    wanted, errors = checked(TakedownCreate, asked_of(given.get("image", ""), given.get("note") or None))
    if errors:
        wrong = {"note" if place == "note" else "image": sentence for place, sentence in errors.items()}
        if "image" in wrong:
            wrong["image"] = "Give an address (https://...) or a SHA-256 (64 hex digits), please."
        return page(request, "takedowns.html", await _page(request_session, None, given, wrong), 422)
    assert wanted is not None
    await release(request_session)
    done = await takedowns.remove(
        service.database, service.store, url=wanted.url, sha256=wanted.digest, why=wanted.note, user_id=actor.user_id
    )
    gone = f"{count(done.images, 'image')} removed, {count(done.exports, 'export')} marked"
    return go("/admin/takedowns", f"Taken down: {gone}. It is refused from now on.")


@router.post("/{takedown_id}/withdraw")
async def withdraw(request: Request, session: Session, actor: Moderator, takedown_id: Id) -> Response:
    """Let it be gathered again; what was erased stays erased."""
    if (await fields_of(request)).get("sure") != "yes":
        return go("/admin/takedowns", "Nothing was withdrawn: tick the box first.")
    await takedowns.withdraw(session, takedown_id, user_id=actor.user_id)
    return go("/admin/takedowns", "Withdrawn. It may be gathered again; what was erased stays erased.")


async def _page(
    session: AsyncSession, cursor: str | None, values: Mapping[str, str], errors: Mapping[str, str]
) -> TakedownsPage:
    query = select(Takedown).options(joinedload(Takedown.user))
    found = await paged(session, query, Takedown.id, cursor, _ON_A_PAGE)
    rows = [
        TakedownRow(
            id=each.id,
            what=each.url or (each.sha256 or b"").hex(),
            note=each.note,
            who=each.user.email if each.user else "",
            at=each.created_at,
        )
        for each in found.items
    ]
    return TakedownsPage(takedowns=rows, next=found.next, values=values, errors=errors)
