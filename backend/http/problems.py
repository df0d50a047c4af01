"""Errors as answers: one shape, `{code, message, details, request_id}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from procrastinate.exceptions import ConnectorException
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoneFree
from starlette.exceptions import HTTPException

from backend.errors import DatabaseUnavailable, ServiceError, TooMany
from backend.http.middleware import SECURITY_HEADERS
from backend.schemas.base import Misplaced
from gleanset.errors import GleansetError, StoreError

log = structlog.get_logger(__name__)

_SOON = "5"
"""Seconds until what is away just now may be asked again."""
_AWAY = ("08", "53", "57P")
"""Beginnings of SQLSTATE: no connection, no room for one, the server stops. A connection that broke has none at all."""

_CODES = {
    401: "not_logged_in",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    416: "range_not_satisfiable",
}

ErrorPage = Callable[[Request, int, str, Mapping[str, str]], Response]
"""Makes the page of a status, a message and headers. The pages set it, being above this module."""


class Problem(BaseModel):
    """What went wrong: a word for programs, a sentence for people, and by which id the log knows the request."""

    code: str
    message: str
    details: dict[str, Any] = {}
    request_id: str


def problem(
    request: Request,
    status: int,
    code: str,
    message: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer: JSON, or for a browser the page that `app.state.error_page` makes of it."""
    if status == 503:
        headers = {"Retry-After": _SOON, **(headers or {})}
    error_page = cast("ErrorPage | None", getattr(request.app.state, "error_page", None))
    if error_page is not None and _wants_page(request):
        return error_page(request, status, message, headers or {})
    body = Problem(code=code, message=message, details=dict(details or {}), request_id=request.state.request_id)
    return JSONResponse(body.model_dump(mode="json"), status, headers)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("Accept", "") and not request.url.path.startswith(("/api/", "/static/"))


def service_problem(request: Request, error: ServiceError) -> Response:
    """An expected failure, with what a program needs to go on."""
    headers: dict[str, str] = {}
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(request, error.status, error.code, str(error), error.details, headers)


def database_is_away(error: Exception) -> bool:
    """Whether there was no connection for the statement, or it broke; anything else is the statement's own fault."""
    if isinstance(error, NoneFree):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error.__cause__ or error
    if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_AWAY)


def _place(error: Mapping[str, Any]) -> str:
    """The path of the field: of JSON that is none the body, not a number of characters in it."""
    if error["type"] == "json_invalid":
        return "body"
    cause = error.get("ctx", {}).get("error")
    at = cause.at if isinstance(cause, Misplaced) and cause.at else None
    return ".".join([*(str(part) for part in error["loc"]), *([at] if at else [])])


def add_problems(app: FastAPI) -> None:
    """Answer every error in the one shape."""

    async def expected(request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)
        return service_problem(request, error)

    async def engine(request: Request, error: Exception) -> Response:
        if isinstance(error, StoreError):
            return problem(request, 503, "store_unavailable", str(error))
        return problem(request, 422, "bad_input", str(error))

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        fields = {_place(each): each["msg"].removeprefix("Value error, ") for each in error.errors()}
        if _wants_page(request) and any(each["loc"][0] == "path" for each in error.errors()):
            return problem(request, 404, "not_found", "Not Found")
        first = next(iter(fields.items()), ("body", "not valid"))
        return problem(request, 422, "bad_input", f"{first[0]}: {first[1]}", {"fields": fields})

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if (
            error.status_code == 400
        ):  # a body that does not parse; to a caller it is no other thing than one that is wrong
            return problem(request, 422, "bad_input", str(error.detail), {"fields": {"body": str(error.detail)}})
        code = _CODES.get(error.status_code, "error")
        return problem(request, error.status_code, code, str(error.detail), headers=error.headers)

    async def database(request: Request, error: Exception) -> Response:
        if not database_is_away(error):
            return await unexpected(request, error)
        log.warning("the database is away", path=request.url.path, error=str(error).strip())
        away = DatabaseUnavailable("The database does not answer just now. Try again in a few seconds.")
        return service_problem(request, away)

    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("request failed", path=request.url.path, exc_info=error)
        message = "Something went wrong here; the log has it under the request id."
        # This handler is outside of all middleware, which sets these headers otherwise.
        return problem(request, 500, "error", message, headers=SECURITY_HEADERS)

    app.add_exception_handler(ServiceError, expected)
    app.add_exception_handler(GleansetError, engine)
    for failure in (SQLAlchemyError, psycopg.Error, ConnectorException):
        app.add_exception_handler(failure, database)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        401: "Nobody is logged in, or the key is not good.",
        403: "Known, but not entitled to this.",
        404: "There is no such thing, or it is not yours.",
        409: "The state does not allow it; `details.current` has the state.",
        410: "It was there, and is not any more.",
        413: "The body is longer than is taken here.",
        422: "The request is not right; `details.fields` tells where.",
        429: "Too much for now; `Retry-After` tells when to come again.",
        503: "Something that this needs is away, such as the database; `Retry-After` tells when to come again.",
    }.items()
}
"""For the OpenAPI document."""
