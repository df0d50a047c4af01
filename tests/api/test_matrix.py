"""Every endpoint of the application with every kind of caller: who gets in and who does not, derived from its rule.

The endpoints come from the application itself. A new one without a rule does not start; a new one whose path names an
object that `world.KINDS` does not know, or whose body cannot be made from its schema, fails here until it is told.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import RouteContext
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.routing import Mount, Route

from backend.app import create_app
from backend.config import Settings
from backend.db import Database
from backend.http.access import COOKIE, SAFE, actor_of, calls_of, check_routes, csrf_token, endpoints, rule_of
from backend.models import LoginSession, Profile
from backend.models.enums import Role
from backend.services import identity
from backend.services.access import Scope
from backend.services.secrets import token_hash
from tests.api.issuer import Issuer, issuing, trusting
from tests.api.requests import kinds_of, objects_of, request_of, unknown_of
from tests.api.world import PAST, Kind, World, give_key, keep_picture, make_world
from tests.postgres import Server
from tests.serving import Served, serving


def _app() -> FastAPI:
    nowhere = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    return create_app(Settings(home=Path(tempfile.gettempdir())), nowhere)


@dataclass(frozen=True)
class Endpoint:
    method: str
    route: RouteContext

    def __str__(self) -> str:
        return f"{self.method} {self.route.path}"


APP = _app()
ENDPOINTS = [
    Endpoint(method, route) for route in endpoints(APP) for method in sorted(route.methods or ()) if method != "HEAD"
]
PEOPLE = ("other", "owner", "moderator", "admin")
KEYS = ("unknown key", "revoked key", "expired key", "disabled key", "narrow key", "wide key")
TOKENS = ("token", "expired token", "disabled token")
"""Of the identity provider."""
COLUMNS = ("anonymous", *PEOPLE, "disabled session", "expired session", "cookie without token", *KEYS, *TOKENS)
RANK = list(Role)
NARROWER = {Scope.WRITE: Scope.READ, Scope.ADMIN: Scope.WRITE}

OTHER_DOORS = {
    ("GET", "/login/{token}"): "the link is its own credential",
    ("POST", "/login/{token}"): "the same",
}
"""Endpoints that are public, and yet have objects; with the reason."""


def expected(endpoint: Endpoint, column: str) -> int | None:
    """The status of a refusal; None when the caller gets in."""
    rule = rule_of(endpoint.route)
    asks = actor_of in set(calls_of(endpoint.route.dependant))
    if not asks:
        return None
    if column in {"unknown key", "revoked key", "expired key", "disabled key", "expired token", "disabled token"}:
        return 401
    if column in {"anonymous", "disabled session", "expired session"}:
        return 401 if rule else None
    if column == "cookie without token" and endpoint.method not in SAFE:
        return 403
    if rule is None:
        return None
    if column == "narrow key" or (column in PEOPLE and RANK.index(_role(column)) < RANK.index(rule.role)):
        return 403
    return _of_objects(endpoint, column) if column in PEOPLE else None


def _of_objects(endpoint: Endpoint, column: str) -> int | None:
    kinds, rule = kinds_of(endpoint.route), rule_of(endpoint.route)
    assert rule
    if Kind.OWN in kinds and column != "owner":
        return 404
    if Kind.THING in kinds and column == "other":
        return 404
    if Kind.THING in kinds and column == "moderator" and rule.role == Role.USER and rule.scope != Scope.READ:
        return 403
    return None


def _role(column: str) -> Role:
    return {"moderator": Role.MODERATOR, "admin": Role.ADMIN}.get(column, Role.USER)


def entitled(endpoint: Endpoint, world: World) -> Profile:
    """Somebody whom the endpoint lets in when the credential is good."""
    rule = rule_of(endpoint.route)
    own = Kind.OWN in kinds_of(endpoint.route)
    return world.people["owner" if rule is None or own or rule.role == Role.USER else rule.role.value]


async def credential(
    session: AsyncSession, endpoint: Endpoint, column: str, world: World, issuer: Issuer
) -> dict[str, str]:
    """The headers of the caller in this column."""
    rule = rule_of(endpoint.route)
    scope = rule.scope if rule else Scope.READ
    person = world.people[column] if column in PEOPLE else entitled(endpoint, world)
    now = datetime.now(UTC)
    if column in {"disabled session", "disabled key", "disabled token"}:
        person.disabled_at = now
    match column:
        case "anonymous":
            return {}
        case "unknown key":
            return _bearer("gls_" + "x" * 43)
        case "revoked key":
            return _bearer(await give_key(session, person, scope, revoked_at=now + PAST))
        case "expired key":
            return _bearer(await give_key(session, person, scope, expires_at=now + PAST))
        case "narrow key":
            return _bearer(await give_key(session, person, NARROWER[scope]))
        case "wide key" | "disabled key":
            return _bearer(await give_key(session, person, scope))
        case "token" | "disabled token":
            return _bearer(issuer.token(sub=str(person.id)))
        case "expired token":
            return _bearer(issuer.token(sub=str(person.id), exp=(now + PAST).timestamp()))
        case _:
            return await cookie_of(session, column, person)


async def cookie_of(session: AsyncSession, column: str, person: Profile) -> dict[str, str]:
    token = await identity.open_session(session, person.id, "tests")
    if column == "expired session":
        opened = await session.get_one(LoginSession, token_hash(token))
        opened.expires_at = datetime.now(UTC) + PAST
    proof = {} if column == "cookie without token" else {"X-CSRF-Token": csrf_token(token)}
    return {"Cookie": f"{COOKIE}={token}"} | proof


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture(scope="module")
def served(embedded: Server, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    with embedded.migrated() as url, serving(trusting(issuer, home, url), url) as running:
        keep_picture(running)
        yield running


def columns_of(endpoint: Endpoint) -> list[str]:
    rule = rule_of(endpoint.route)
    narrower = rule is not None and rule.scope in NARROWER  # no scope is narrower than `read`
    return [column for column in COLUMNS if narrower or column != "narrow key"]


async def callers_of(
    session: AsyncSession, endpoint: Endpoint, issuer: Issuer
) -> list[tuple[str, World, dict[str, str]]]:
    """Every column with its world and its headers. Who is let in, or disabled for it, has a world of their own."""
    shared = await make_world(session)
    found: list[tuple[str, World, dict[str, str]]] = []
    for column in columns_of(endpoint):
        own = expected(endpoint, column) is None or column.startswith("disabled")
        world = await make_world(session) if own else shared
        found.append((column, world, await credential(session, endpoint, column, world, issuer)))
    return found


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_who_gets_in(served: Served, issuer: Issuer, endpoint: Endpoint) -> None:
    callers = served.run(lambda session: callers_of(session, endpoint, issuer))
    page = not str(endpoint.route.path).startswith("/api/")
    wrong: list[str] = []
    with served.anonymous() as client:
        for column, world, proof in callers:
            client.cookies.clear()
            headers = proof | ({"Accept": "text/html"} if page else {})
            given = request_of(endpoint.route, endpoint.method, world)
            with client.stream(endpoint.method, headers=headers, **given) as answer:
                found = _wrong(answer, expected(endpoint, column), page)
            wrong += [f"{column}: {found}"] if found else []
    assert [column for column, *_ in callers] == columns_of(endpoint)
    assert not wrong, "\n".join(wrong)


def _wrong(answer: httpx.Response, refused: int | None, page: bool) -> str | None:
    """What the answer says, when it is another than it has to be."""
    said = f"{answer.status_code} {answer.headers.get('Location', '')}"
    if answer.headers.get("Content-Type", "").startswith(("application/json", "text/html")):
        said += f" {answer.read().decode()[:500]}"
    to_login = answer.headers.get("Location", "").startswith("/login?next=")
    if refused == 401 and page:
        right = answer.status_code == 303 and to_login
    elif refused is not None:
        right = answer.status_code == refused
    else:
        right = answer.status_code not in {401, 403, 404} and answer.status_code < 500 and not to_login
    return None if right else f"{said}, not {refused or 'let in'}"


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_the_table_knows_every_parameter_of_a_path(endpoint: Endpoint) -> None:
    assert unknown_of(endpoint.route) == set(), "Enter it into KINDS and make it in make_world."


def test_nothing_with_an_object_is_public() -> None:
    open_ = {
        (each.method, str(each.route.path))
        for each in ENDPOINTS
        if objects_of(each.route) and actor_of not in set(calls_of(each.route.dependant))
    }
    assert open_ == OTHER_DOORS.keys()


def test_what_is_not_an_endpoint_of_ours_is_known() -> None:
    assert {route.path for route in APP.routes if isinstance(route, Route | Mount)} == {
        "/api/v1/openapi.json",
        "/static",
    }
    assert len(ENDPOINTS) > 10


@pytest.mark.parametrize("included", [False, True])
def test_a_route_without_a_rule_does_not_start(included: bool) -> None:
    app, router = FastAPI(openapi_url=None), APIRouter(prefix="/deep")

    def answer() -> str:
        return "open"

    add: Callable[..., Any] = router.get if included else app.get
    add("/forgotten")(answer)
    app.include_router(router)
    with pytest.raises(LookupError, match=r"/forgotten has 0 access rules"):
        check_routes(app)
