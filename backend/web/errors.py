"""Errors as pages, for people who came with a browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from backend.http.access import SAFE
from backend.web.render import page

_HEADINGS = {
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    409: "Not possible now",
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


def error_page(request: Request, status: int, message: str, headers: Mapping[str, str]) -> Response:
    """What happened and where to go from here; somebody who is not logged in is led to the log-in page."""
    if status == 401 and not request.url.path.startswith("/login"):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/login?" + urlencode({"next": here if request.method in SAFE else "/"}), 303)
    if status == 404 and message == "Not Found":  # the framework's, when no route is there
        message = "There is no page at this address."
    context = ErrorPage(status, _HEADINGS.get(status, "That did not work"), message, request.state.request_id)
    answer = page(request, "error.html", context, status)
    answer.headers.update({name: value for name, value in headers.items() if name != "WWW-Authenticate"})
    return answer
