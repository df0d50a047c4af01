"""The account of whoever asks: profile, password, sessions."""

from __future__ import annotations

from fastapi import APIRouter, Request

from backend.http.access import Owner, Reader, Writer, session_token
from backend.http.guessing import guessing
from backend.http.paging import Page, SessionId
from backend.http.service import CurrentService, Session, release
from backend.models import Profile
from backend.schemas.accounts import PasswordChange, SessionResponse
from backend.schemas.profile import OwnProfileResponse, ProfileResponse, ProfileUpdate
from backend.services import accounts, allowances
from backend.services.allowances import Allowance

router = APIRouter(prefix="/profile", tags=["account"])


@router.get("")
async def show_profile(service: CurrentService, session: Session, actor: Reader) -> OwnProfileResponse:
    """Who you are here, and what you have beside what you may have."""
    person = ProfileResponse.model_validate(await session.get_one(Profile, actor.user_id))
    use = await allowances.use(session, actor.user_id, Allowance.of(service.settings))
    return OwnProfileResponse(**person.model_dump(), use=use)


@router.patch("")
async def update_profile(session: Session, actor: Writer, body: ProfileUpdate) -> ProfileResponse:
    """Name or picture; what is left out stays."""
    person = await session.get_one(Profile, actor.user_id)
    return ProfileResponse.model_validate(await accounts.update_profile(session, person, body))


@router.put("/password", status_code=204)
async def change_password(
    request: Request, service: CurrentService, session: Session, actor: Owner, body: PasswordChange
) -> None:
    """Every other session ends; API keys stay as they are."""
    person = await session.get_one(Profile, actor.user_id)
    await release(session)
    async with guessing(request, service, person.email):
        await accounts.change_password(service.database, person, body.old, body.new, session_token(request))


@router.get("/sessions")
async def list_sessions(request: Request, session: Session, actor: Owner) -> Page[SessionResponse]:
    """Where you are logged in, the latest seen first."""
    return Page(items=await accounts.sessions_of(session, actor.user_id, session_token(request)))


@router.delete("/sessions", status_code=204)
async def end_other_sessions(request: Request, session: Session, actor: Owner) -> None:
    """Log out everywhere but here."""
    await accounts.end_others(session, actor.user_id, session_token(request))


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(session: Session, actor: Owner, session_id: SessionId) -> None:
    """Log one browser out."""
    await accounts.end_session(session, actor.user_id, session_id)
