"""Logging in and out. Nobody has a session yet, so forms are held to have come from our own pages (`from_here`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import NotFound, NotLoggedIn, TooMany
from backend.http.access import Reader, cookie_name, from_here, public, session_token
from backend.http.guessing import guessing
from backend.http.service import CurrentService, Service, Session
from backend.models import Profile
from backend.services import accounts, identity
from backend.web.forms import fields_of
from backend.web.render import go, page
from backend.web.safe import own_path

router = APIRouter()


@dataclass(frozen=True, slots=True)
class LoginPage:
    """`team`: people have passwords; in local mode the page tells where the link comes from."""

    team: bool
    next: str
    values: Mapping[str, str]
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class LinkPage:
    email: str


@router.get("/login", dependencies=[Depends(public)])
async def show_login(request: Request, service: CurrentService, next: str | None = None) -> Response:  # noqa: A002
    """The form, or in local mode how to get in."""
    team = service.settings.accounts == "team"
    return page(request, "login.html", LoginPage(team=team, next=own_path(next), values={}))


@router.post("/login", dependencies=[Depends(public), Depends(from_here)])
async def log_in(request: Request, service: CurrentService) -> Response:
    """With e-mail and password; then to where the person wanted to go."""
    if service.settings.accounts != "team":
        raise NotFound("Nobody has a password here. `gleanset up` prints a link that logs you in.")
    given = await fields_of(request)
    email, target = given.get("email", ""), own_path(given.get("next"))
    try:
        token = await _by_password(request, service, email, given.get("password", ""))
    except (NotLoggedIn, TooMany) as error:
        context = LoginPage(team=True, next=target, values={"email": email[:255]}, wrong=str(error))
        answer = page(request, "login.html", context, error.status)
        if isinstance(error, TooMany):
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer
    return _welcome(request, target, token)


async def _by_password(request: Request, service: Service, email: str, password: str) -> str:
    """The token of a new session. Raises NotLoggedIn or TooMany."""
    async with guessing(request, service, email):
        proven = await accounts.authenticate(service.database, email, password)
        async with service.database.transaction() as session:
            person = await accounts.still(session, proven)
            return await _open(request, session, person, by_link=False)


@router.get("/login/{token}", dependencies=[Depends(public)])
async def show_link(request: Request, service: CurrentService, session: Session, token: str) -> Response:
    """The link that `gleanset up` prints logs in at once. Where there are several people it asks first: mail programs
    open links to look at them, and another site could log somebody in as somebody else."""
    if service.settings.accounts == "local":
        return await log_in_by_link(request, session, token)
    person = await identity.of_link(session, token)
    if person is None:
        raise NotLoggedIn("This link was used already, or is too old. An admin can make a new one.")
    return page(request, "login_link.html", LinkPage(email=person.email))


@router.post("/login/{token}", dependencies=[Depends(public), Depends(from_here)])
async def log_in_by_link(request: Request, session: Session, token: str) -> Response:
    """It works once. In team mode a password can be chosen now."""
    person = await session.get_one(Profile, await identity.use_link(session, token))
    opened = await _open(request, session, person, by_link=True)
    return _welcome(request, "/" if request.method == "GET" else "/account", opened)


@router.post("/logout")
async def log_out(request: Request, session: Session, _: Reader) -> Response:
    """The session ends here and in the database."""
    token = session_token(request)
    if token is not None:
        await identity.close_session(session, token)
    answer = go("/login", "You are logged out.")
    answer.delete_cookie(cookie_name(request), secure=request.url.scheme == "https", httponly=True)
    return answer


async def _open(request: Request, session: AsyncSession, person: Profile, *, by_link: bool) -> str:
    """A session of its own; the one before, somebody's whoever, ends."""
    before = session_token(request)
    if before is not None:
        await identity.close_session(session, before)
    return await identity.open_session(session, person.id, request.headers.get("User-Agent"), by_link=by_link)


def _welcome(request: Request, path: str, token: str) -> Response:
    """On to the page, with the session cookie: out of reach of scripts and of other sites."""
    answer = RedirectResponse(path, 303)
    lasts = int(identity.SESSION_LASTS.total_seconds())
    secure = request.url.scheme == "https"
    answer.set_cookie(cookie_name(request), token, max_age=lasts, httponly=True, secure=secure, samesite="lax")
    return answer
