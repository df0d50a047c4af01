"""Templates to pages. Every page knows who looks at it, the CSRF token of its forms, and where it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, unquote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backend.http.access import csrf_token, session_token
from backend.http.service import service_of
from backend.web.filters import FILTERS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from backend.services.access import Actor

STATIC = Path(__file__).parent / "static"
THEME = "gleanset_theme"
THEMES = ("light", "dark")
_MESSAGE = "gleanset_message"
_LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around every page. `theme` is None where the system decides, `message` what the last form came to.

    `team`: there are several people.
    """

    actor: Actor | None
    logged_in: bool
    csrf: str
    path: str
    theme: str | None
    message: str | None
    team: bool


@cache
def asset(name: str) -> str:
    """The address of a static file, which changes with its content, so that no browser shows yesterday's."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(cast("dict[str, Any]", FILTERS))
_TEMPLATES.globals["asset"] = asset


def page(request: Request, template: str, context: DataclassInstance, status: int = 200) -> HTMLResponse:
    """The page. The template sees the fields of the context, and the `frame`."""
    frame = _frame(request)
    seen = {field.name: getattr(context, field.name) for field in fields(context)}
    html = _TEMPLATES.get_template(template).render(seen, frame=frame)
    answer = HTMLResponse(html, status, {"Cache-Control": "private, no-cache"})
    if frame.message is not None:
        answer.delete_cookie(_MESSAGE)
    return answer


def go(path: str, message: str | None = None) -> RedirectResponse:
    """After a form: on to a page of ours, which tells what was done."""
    answer = RedirectResponse(path, 303)
    if message:
        answer.set_cookie(_MESSAGE, quote(message[:_LONGEST_MESSAGE]), max_age=60, httponly=True, samesite="lax")
    return answer


def _frame(request: Request) -> Frame:
    cookie = session_token(request)
    # A page that nobody found has not asked who looks.
    unasked = cookie is not None and not hasattr(request.state, "actor")
    actor = cast("Actor | None", getattr(request.state, "actor", None))
    theme, message = request.cookies.get(THEME), request.cookies.get(_MESSAGE)
    return Frame(
        actor=actor,
        logged_in=actor is not None or unasked,
        csrf=csrf_token(cookie) if cookie else "",
        path=request.url.path,
        theme=theme if theme in THEMES else None,
        message=unquote(message)[:_LONGEST_MESSAGE] if message else None,
        team=service_of(request).settings.accounts == "team",
    )
