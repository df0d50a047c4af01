"""Every route says who may use it: one of the rules here, or it does not start (`check_routes`).

A browser proves itself by its session cookie, a program by `Authorization: Bearer` with an API key or a token of the
identity provider. A request that changes something and comes with a cookie has to carry the session's CSRF token too,
in a header or a form field, which another site's page cannot know.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import NotAllowed, NotLoggedIn
from backend.http.service import Session, service_of
from backend.models.enums import Role
from backend.services import claims, identity
from backend.services.access import Actor, Scope

COOKIE = "gleanset_session"
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


async def actor_of(request: Request, session: Session) -> Actor | None:
    """Who asks; None for nobody. Raises NotLoggedIn for a credential that is not good, NotAllowed without the token."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if kind:
        if kind.lower() != "bearer" or not given.strip():
            raise NotLoggedIn("Send an API key as `Authorization: Bearer KEY`.")
        request.state.actor = await _of_bearer(request, session, given.strip())
        return request.state.actor
    cookie = session_token(request)
    actor = await _of_cookie(request, session, cookie) if cookie else None
    request.state.actor = actor  # for the frame of pages
    if actor is not None and cookie and request.method not in SAFE:
        await _check_csrf(request, cookie)
    return actor


async def _of_cookie(request: Request, session: AsyncSession, cookie: str) -> Actor | None:
    """Whose browser it is. A form may take long to come in: the request's transaction begins behind that."""
    if not _is_form(request):
        return await identity.of_session(session, cookie)
    async with service_of(request).database.transaction() as short:
        return await identity.of_session(short, cookie)


def _is_form(request: Request) -> bool:
    return request.headers.get("Content-Type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    )


async def _of_bearer(request: Request, session: Session, given: str) -> Actor:
    """Who an API key or a token belongs to. Raises NotLoggedIn, and NotAllowed for a person who cannot be let in."""
    provider = service_of(request).provider
    if provider is None or given.startswith(identity.KEY_PREFIX):
        return await identity.of_key(session, given)
    return await claims.of_token_claims(session, provider.issuer, await provider.claims(given))


def cookie_name(request: Request) -> str:
    """Over https browsers hold a cookie of this prefix to be secure, of this host alone and of all its paths."""
    return f"__Host-{COOKIE}" if request.url.scheme == "https" else COOKIE


def session_token(request: Request) -> str | None:
    """What the session cookie says; nothing beside `Authorization`, where nobody has looked whose cookie it is."""
    if request.headers.get("Authorization"):
        return None
    return request.cookies.get(cookie_name(request))


def csrf_token(cookie: str) -> str:
    """The token of the session that this cookie belongs to."""
    return hmac.new(cookie.encode(), b"gleanset csrf", hashlib.sha256).hexdigest()


async def _check_csrf(request: Request, cookie: str) -> None:
    given = request.headers.get(CSRF_HEADER)
    if given is None and _is_form(request):
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    if given is None or not hmac.compare_digest(given.encode(), csrf_token(cookie).encode()):
        await request.close()  # and with it the files of the form
        raise NotAllowed("The form's CSRF token is missing or old. Load the page again, then send it once more.")


async def from_here(request: Request) -> None:
    """For forms of people who have no session yet, and so no token. Raises NotAllowed when another site sent it.

    Every browser of today says where a form comes from; what says nothing is no browser, and has no cookies to lose.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        good = site in {"same-origin", "none"}
    else:
        good = origin is None or urlsplit(origin).netloc == request.headers.get("Host")
    if not good:
        raise NotAllowed("This form was sent by another site. Open the log-in page here, then try again.")


class Allow:
    """A rule: only for people of at least this role, by a credential of at least this scope."""

    def __init__(self, scope: Scope, role: Role = Role.USER) -> None:
        self.scope, self.role = scope, role

    async def __call__(self, actor: Annotated[Actor | None, Depends(actor_of)]) -> Actor:
        if actor is None:
            raise NotLoggedIn("Log in first, or send an API key as `Authorization: Bearer KEY`.")
        actor.require(self.role, self.scope)
        return actor


async def public() -> None:
    """A rule: for everybody. Given by hand, so that no route is open by accident."""


async def anybody(actor: Annotated[Actor | None, Depends(actor_of)]) -> Actor | None:
    """A rule: for everybody, who may be somebody."""
    return actor


Reader = Annotated[Actor, Depends(Allow(Scope.READ))]
Writer = Annotated[Actor, Depends(Allow(Scope.WRITE))]
Moderator = Annotated[Actor, Depends(Allow(Scope.WRITE, Role.MODERATOR))]
Admin = Annotated[Actor, Depends(Allow(Scope.ADMIN, Role.ADMIN))]
Owner = Annotated[Actor, Depends(Allow(Scope.ADMIN))]
"""For what concerns the account itself: keys and passwords. A key needs the scope `admin` for it."""
Anybody = Annotated[Actor | None, Depends(anybody)]


def endpoints(app: FastAPI) -> list[RouteContext]:
    """The routes that functions of ours answer, those of included routers among them."""
    return [route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, APIRoute)]


def rule_of(route: RouteContext) -> Allow | None:
    """The route's rule; None when it is public. Raises LookupError when it has none, or several."""
    rules = {call for call in calls_of(route.dependant) if isinstance(call, Allow) or call in {public, anybody}}
    if len(rules) != 1:
        raise LookupError(f"{sorted(route.methods or ())} {route.path} has {len(rules)} access rules; it needs one.")
    rule = rules.pop()
    return rule if isinstance(rule, Allow) else None


def check_routes(app: FastAPI) -> None:
    """Raises LookupError when a route does not say who may use it."""
    found = endpoints(app)
    if not found:
        raise LookupError("The application has no routes to check; does FastAPI keep them elsewhere now?")
    for route in found:
        rule_of(route)


def calls_of(dependant: Dependant) -> Iterator[Any]:
    """What runs before the endpoint."""
    for inner in dependant.dependencies:
        yield inner.call
        yield from calls_of(inner)
