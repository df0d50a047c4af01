"""Who is asking: a browser's session, an API key, or a token of an identity provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, LargeBinary, bindparam, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from backend.errors import NotLoggedIn
from backend.models import ApiKey, Base, LoginLink, LoginSession, Profile
from backend.models.enums import Role
from backend.services.access import Actor, Scope
from backend.services.activity import note
from backend.services.secrets import new_token, token_hash

KEY_PREFIX = "gls_"
SESSION_LASTS = timedelta(days=14)
LINK_LASTS = timedelta(minutes=15)
SEEN_EVERY = timedelta(minutes=5)
USED_EVERY = timedelta(minutes=1)
"""How old a note of the last use may be before it is written anew: not a write a request."""

# Every request asks one of these; put together once, as that takes as long as to ask.
_NOW, _HASH = bindparam("now", type_=DateTime(timezone=True)), bindparam("hash", type_=LargeBinary)
_OF_SESSION = (
    select(Profile.id, Profile.role, LoginSession.last_seen_at)
    .join(LoginSession, LoginSession.user_id == Profile.id)
    .where(LoginSession.token_hash == _HASH, LoginSession.expires_at > _NOW, Profile.disabled_at.is_(None))
)
_OF_KEY = (
    select(ApiKey.id, ApiKey.scopes, ApiKey.last_used_at, Profile.id.label("user_id"), Profile.role)
    .join(Profile, Profile.id == ApiKey.user_id)
    .where(
        ApiKey.secret_hash == _HASH,
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > _NOW),
        Profile.disabled_at.is_(None),
    )
)


async def of_session(session: AsyncSession, token: str) -> Actor | None:
    """Who the session cookie belongs to; None when it is unknown or has expired, or the person is disabled."""
    now = datetime.now(UTC)
    row = (await session.execute(_OF_SESSION, {"hash": token_hash(token), "now": now})).one_or_none()
    if row is None:
        return None
    if row.last_seen_at < now - SEEN_EVERY:
        await _touch(session, LoginSession, LoginSession.token_hash, token_hash(token), last_seen_at=now)
    return Actor(user_id=row.id, role=Role(row.role))


async def of_key(session: AsyncSession, secret: str) -> Actor:
    """Who an API key belongs to, and its widest scope; notes that it was used. Raises NotLoggedIn."""
    now = datetime.now(UTC)
    row = (await session.execute(_OF_KEY, {"hash": token_hash(secret), "now": now})).one_or_none()
    if row is None:
        raise NotLoggedIn("This API key is not known, has expired or was revoked.")
    if row.last_used_at is None or row.last_used_at < now - USED_EVERY:
        await _touch(session, ApiKey, ApiKey.id, row.id, last_used_at=now)
    scope = next(scope for scope in reversed(Scope) if scope.value in row.scopes)
    return Actor(user_id=row.user_id, role=Role(row.role), scope=scope)


async def _touch(
    session: AsyncSession, model: type[Base], column: InstrumentedAttribute[Any], key: object, **values: datetime
) -> None:
    """Note a use, now and then. A row that another request holds is left alone: no request waits for this."""
    free = select(column).where(column == key).with_for_update(skip_locked=True)
    changing = update(model).where(column.in_(free)).values(values)
    await session.execute(changing.execution_options(synchronize_session=False))


async def open_session(session: AsyncSession, user_id: UUID, user_agent: str | None, *, by_link: bool = False) -> str:
    """Log a person in; the token for the cookie. Their sessions that have expired are removed."""
    now = datetime.now(UTC)
    await session.execute(delete(LoginSession).filter_by(user_id=user_id).where(LoginSession.expires_at <= now))
    token = new_token()
    session.add(
        LoginSession(
            token_hash=token_hash(token),
            user_id=user_id,
            user_agent=user_agent[:500] if user_agent else None,
            by_link=by_link,
            expires_at=now + SESSION_LASTS,
        )
    )
    await session.flush()
    person, by = await session.get_one(Profile, user_id), "link" if by_link else "password"
    note(session, user_id, "session.opened", person, (None, "open"), by=by)
    return token


async def close_session(session: AsyncSession, token: str) -> None:
    """Log out."""
    one = delete(LoginSession).where(LoginSession.token_hash == token_hash(token))
    user_id = await session.scalar(one.returning(LoginSession.user_id))
    if user_id is not None:
        note(session, user_id, "session.ended", await session.get_one(Profile, user_id), ("open", "ended"))


async def close_others(session: AsyncSession, user_id: UUID, token: str | None) -> None:
    """Log the person out everywhere but in the session of this token, and let no link that is under way log in."""
    others = delete(LoginSession).filter_by(user_id=user_id)
    if token is not None:
        others = others.where(LoginSession.token_hash != token_hash(token))
    await session.execute(others)
    await session.execute(delete(LoginLink).filter_by(user_id=user_id))


async def new_link(
    session: AsyncSession, user_id: UUID, lasts: timedelta = LINK_LASTS, *, by: UUID | None = None
) -> str:
    """A token that logs the person in once, within a quarter of an hour when nothing else is said.

    by: who made it; None for the command line.
    """
    now = datetime.now(UTC)
    await session.execute(delete(LoginLink).where(LoginLink.expires_at <= now))
    token = new_token()
    session.add(LoginLink(token_hash=token_hash(token), user_id=user_id, expires_at=now + lasts))
    await session.flush()
    told = {"by": "command line"} if by is None else {}
    note(session, by, "user.link_made", await session.get_one(Profile, user_id), (None, "open"), **told)
    return token


async def of_link(session: AsyncSession, token: str) -> Profile | None:
    """Whose link this is; None when it was used already, is too old, or its person is disabled."""
    return await session.scalar(
        select(Profile)
        .join(LoginLink, LoginLink.user_id == Profile.id)
        .where(
            LoginLink.token_hash == token_hash(token),
            LoginLink.expires_at > datetime.now(UTC),
            Profile.disabled_at.is_(None),
        )
    )


async def use_link(session: AsyncSession, token: str) -> UUID:
    """Whose link this is; it is used up. Raises NotLoggedIn."""
    person = await of_link(session, token)
    used = delete(LoginLink).where(LoginLink.token_hash == token_hash(token)).returning(LoginLink.user_id)
    user_id = await session.scalar(used)
    if person is None or user_id is None:
        raise NotLoggedIn("This link was used already, or is too old. Ask for a new one where you got it.")
    return user_id
