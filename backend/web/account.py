"""Logging in and out."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from backend.http.access import COOKIE, public
from backend.http.service import Session
from backend.services import identity

router = APIRouter()


@router.get("/login/{token}", dependencies=[Depends(public)])
async def log_in_by_link(request: Request, session: Session, token: str) -> Response:
    """The link that `gleanset up` prints: it works once."""
    user_id = await identity.use_link(session, token)
    cookie = await identity.open_session(session, user_id, request.headers.get("User-Agent"))
    answer = RedirectResponse("/", 303)
    set_cookie(request, answer, cookie)
    return answer


def set_cookie(request: Request, answer: Response, token: str) -> None:
    """The session cookie: out of reach of scripts and of other sites."""
    secure = request.url.scheme == "https"
    lasts = int(identity.SESSION_LASTS.total_seconds())
    answer.set_cookie(COOKIE, token, max_age=lasts, httponly=True, secure=secure, samesite="lax")
