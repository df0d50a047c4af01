"""One's own account: who one is here, the password, and where one is logged in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import BadInput, NotAllowed, TooMany
from backend.http.access import Owner, session_token
from backend.http.guessing import guessing
from backend.http.paging import SessionId
from backend.http.service import CurrentService, Service, Session, release
from backend.models import Profile
from backend.schemas.accounts import PasswordChange, SessionResponse
from backend.schemas.profile import ProfileUpdate, UseResponse
from backend.services import accounts, allowances
from backend.services.access import Actor
from backend.services.allowances import Allowance
from backend.web.forms import checked, fields_of
from backend.web.render import go, page

router = APIRouter(prefix="/account")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    """`team`: people have passwords. `free`: one may be chosen without the one before, after a log-in by link."""

    email: str
    role: str
    since: datetime
    team: bool
    free: bool
    use: UseResponse
    sessions: Sequence[SessionResponse]
    values: Mapping[str, str]
    errors: Mapping[str, str]


@router.get("")
async def show_account(request: Request, service: CurrentService, session: Session, actor: Owner) -> Response:
    """All of it on one page."""
    return await _page(request, service, session, actor)


@router.post("")
async def save_account(request: Request, service: CurrentService, session: Session, actor: Owner) -> Response:
    """Name and picture."""
    given = await fields_of(request)
    told = {name: given.get(name, "").strip() or None for name in ("full_name", "avatar_url")}
    wanted, errors = checked(ProfileUpdate, told)
    if wanted is None:
        if len(given.get("avatar_url", "")) <= 2000 and "avatar_url" in errors:
            errors["avatar_url"] = "An address that begins with https:// or http://, please."
        return await _page(request, service, session, actor, given, errors, 422)
    await accounts.update_profile(session, await session.get_one(Profile, actor.user_id), wanted)
    return go("/account", "Saved.")


@router.post("/password")
async def choose_password(request: Request, service: CurrentService, session: Session, actor: Owner) -> Response:
    """Another password; all other sessions end."""
    given = await fields_of(request)
    body = {"old": given.get("old") or None, "new": given.get("new") or None}
    wanted, errors = checked(PasswordChange, body)
    if body["new"] is None:
        errors = {"new": "Please fill this in."}
    elif given["new"] != given.get("again"):
        errors = {"again": "These are not the same."}
    if wanted is None or errors:
        return await _page(request, service, session, actor, {}, errors, 422)
    person = await session.get_one(Profile, actor.user_id)
    await release(session)
    try:
        async with guessing(request, service, person.email):
            await accounts.change_password(service.database, person, wanted.old, wanted.new, session_token(request))
    except (BadInput, NotAllowed, TooMany) as error:
        errors = {"new" if isinstance(error, BadInput) else "old": str(error)}
        async with service.database.transaction() as again:
            return await _page(request, service, again, actor, {}, errors, error.status)
    return go("/account", "The password is changed. All other sessions have ended.")


@router.post("/sessions")
async def end_other_sessions(request: Request, session: Session, actor: Owner) -> Response:
    """Log out everywhere but here."""
    await accounts.end_others(session, actor.user_id, session_token(request))
    return go("/account", "You are logged out everywhere but here.")


@router.post("/sessions/{session_id}")
async def end_session(session: Session, actor: Owner, session_id: SessionId) -> Response:
    """Log one browser out."""
    await accounts.end_session(session, actor.user_id, session_id)
    return go("/account", "That session has ended.")


async def _page(
    request: Request,
    service: Service,
    session: AsyncSession,
    actor: Actor,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    person, token = await session.get_one(Profile, actor.user_id), session_token(request)
    context = AccountPage(
        email=person.email,
        role=person.role,
        since=person.created_at,
        team=service.settings.accounts == "team",
        free=await accounts.may_choose_freely(session, actor.user_id, token),
        use=await allowances.use(session, actor.user_id, Allowance.of(service.settings)),
        sessions=await accounts.sessions_of(session, actor.user_id, token),
        values=values or {"full_name": person.full_name or "", "avatar_url": person.avatar_url or ""},
        errors=errors or {},
    )
    return page(request, "account.html", context, status)
