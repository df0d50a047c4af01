"""API keys of whoever looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import BadInput, Conflict
from backend.http.access import Owner
from backend.http.paging import Cursor, Id, paged
from backend.http.service import Session
from backend.models import ApiKey
from backend.models.enums import Scope
from backend.schemas.accounts import ApiKeyCreate
from backend.services import keys
from backend.services.access import Actor
from backend.web.forms import checked, fields_of
from backend.web.render import go, page

router = APIRouter(prefix="/account/keys")
_ON_A_PAGE = 50
_FIELDS = {"scopes.0": "scope", "expires_at": "expires"}
SCOPES = (
    (Scope.READ, "Read: look at what you may see"),
    (Scope.WRITE, "Write: crawl, validate, decide and export too"),
    (Scope.ADMIN, "Admin: all that you may do, keys included"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    id: int
    name: str
    prefix: str
    scopes: str
    works: bool
    state: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysPage:
    """`secret`: the key that was just made; no other page shows it."""

    keys: Sequence[KeyRow]
    next: str | None
    scopes: Sequence[tuple[Scope, str]]
    secret: str | None
    values: Mapping[str, str]
    errors: Mapping[str, str]


@router.get("")
async def show_keys(request: Request, session: Session, actor: Owner, cursor: Cursor = None) -> Response:
    """The newest first, and a form for another."""
    return await _page(request, session, actor, cursor=cursor)


@router.post("")
async def make_key(request: Request, session: Session, actor: Owner) -> Response:
    """Answered with the page itself, not by going on to it: the key is in no cookie, no address and no cache."""
    given = await fields_of(request)
    day = given.get("expires", "")
    told = {"name": given.get("name", ""), "scopes": [given.get("scope", "")]}
    wanted, found = checked(ApiKeyCreate, told | ({"expires_at": f"{day}T23:59:59Z"} if day else {}))
    errors = {_FIELDS.get(name, name): sentence for name, sentence in found.items()}
    if "expires" in errors:
        errors["expires"] = "A day, please, such as 2030-12-31."
    if wanted is None:
        return await _page(request, session, actor, values=given, errors=errors)
    try:
        _, secret = await keys.create(session, actor.user_id, wanted)
    except (BadInput, Conflict) as error:
        field = "expires" if isinstance(error, BadInput) else "name"
        return await _page(request, session, actor, values=given, errors={field: str(error)})
    answer = await _page(request, session, actor, secret=secret)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/{key_id}/revoke")
async def revoke_key(session: Session, actor: Owner, key_id: Id) -> Response:
    """It is good for nothing from now on."""
    await keys.revoke(session, actor.user_id, key_id)
    return go("/account/keys", "The key is revoked.")


async def _page(
    request: Request,
    session: AsyncSession,
    actor: Actor,
    *,
    cursor: str | None = None,
    secret: str | None = None,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> Response:
    mine = select(ApiKey).filter_by(user_id=actor.user_id)
    found = await paged(session, mine, ApiKey.id, cursor, _ON_A_PAGE)
    context = KeysPage(
        keys=[_row(key) for key in found.items],
        next=found.next,
        scopes=SCOPES,
        secret=secret,
        values=values or {},
        errors=errors or {},
    )
    return page(request, "keys.html", context, 422 if errors else 200)


def _row(key: ApiKey) -> KeyRow:
    expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
    return KeyRow(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=", ".join(key.scopes),
        works=key.revoked_at is None and not expired,
        state="revoked" if key.revoked_at else "expired" if expired else "works",
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
    )
