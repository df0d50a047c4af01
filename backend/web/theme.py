"""Light or dark, as somebody chose it; kept in a cookie, so that no script has to run before the page is painted."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from backend.http.access import public
from backend.web.forms import fields_of
from backend.web.render import THEME, THEMES, go
from backend.web.safe import own_path

router = APIRouter()
_YEAR = 365 * 24 * 3600


@router.post("/theme", dependencies=[Depends(public)])
async def choose_theme(request: Request) -> Response:
    """It changes nothing but the look of this browser, so it asks for no token."""
    given = await fields_of(request)
    answer = go(own_path(given.get("next")))
    if given.get("theme") in THEMES:
        answer.set_cookie(THEME, given["theme"], max_age=_YEAR, samesite="lax")
    else:
        answer.delete_cookie(THEME)
    return answer
