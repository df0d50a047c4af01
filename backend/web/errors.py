"""Errors as pages, for people who came with a browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from backend.http.access import SAFE
from backend.web.render import page
from backend.web.safe import own_path

_HEADINGS = {
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    409: "Not possible now",
    410: "No longer there",
    422: "Not quite right",
    429: "Too much for now",
    500: "Something went wrong",
    503: "Not available just now",
}


@dataclass(frozen=True, slots=True)
class ErrorPage:
    status: int
    heading: str
    message: str
    request_id: str
    back: str | None


def error_page(request: Request, status: int, message: str, headers: Mapping[str, str]) -> Response:
    """What happened and where to go from here; somebody who is not logged in is led to the log-in page."""
    if status == 401 and not request.url.path.startswith("/login"):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/login?" + urlencode({"next": here if request.method in SAFE else "/"}), 303)
    if status == 404 and message == "Not Found":  # the framework's, when no route is there
        message = "There is no page at this address."
    heading = _HEADINGS.get(status, "That did not work")
    context = ErrorPage(status, heading, message, request.state.request_id, _came_from(request))
    answer = page(request, "error.html", context, status)
    answer.headers.update({name: value for name, value in headers.items() if name != "WWW-Authenticate"})
    return answer


def _came_from(request: Request) -> str | None:
    """The page of this site whose form did not work."""
    parts = urlsplit(request.headers.get("Referer", ""))
    same = parts.netloc == request.url.netloc and request.method not in SAFE
    return own_path(parts.path + (f"?{parts.query}" if parts.query else "")) if same else None
