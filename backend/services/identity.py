"""Who is asking: a browser's session, an API key, or a token of an identity provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import NotLoggedIn
from backend.models import ApiKey, LoginLink, LoginSession, Profile
from backend.models.enums import Role
from backend.services.access import Actor, Scope
from backend.services.secrets import new_token, token_hash

KEY_PREFIX = "gls_"
SESSION_LASTS = timedelta(days=14)
LINK_LASTS = timedelta(minutes=15)


async def of_session(session: AsyncSession, token: str) -> Actor | None:
    """Who the session cookie belongs to; None when it is unknown or has expired, or the person is disabled."""
    found = await session.execute(
        select(Profile.id, Profile.role)
        .join(LoginSession, LoginSession.user_id == Profile.id)
        .where(
            LoginSession.token_hash == token_hash(token),
            LoginSession.expires_at > datetime.now(UTC),
            Profile.disabled_at.is_(None),
        )
    )
    row = found.one_or_none()
    return Actor(user_id=row.id, role=Role(row.role)) if row else None


async def of_key(session: AsyncSession, secret: str) -> Actor:
    """Who an API key belongs to, and its widest scope; notes that it was used. Raises NotLoggedIn."""
    now = datetime.now(UTC)
    found = await session.execute(
        select(ApiKey.id, ApiKey.scopes, ApiKey.last_used_at, Profile.id.label("user_id"), Profile.role)
        .join(Profile, Profile.id == ApiKey.user_id)
        .where(
            ApiKey.secret_hash == token_hash(secret),
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
            Profile.disabled_at.is_(None),
        )
    )
    row = found.one_or_none()
    if row is None:
        raise NotLoggedIn("This API key is not known, has expired or was revoked.")
    if row.last_used_at is None or row.last_used_at < now - timedelta(minutes=1):  # not a write a request
        await session.execute(update(ApiKey).where(ApiKey.id == row.id).values(last_used_at=now))
    scope = next(scope for scope in reversed(Scope) if scope.value in row.scopes)
    return Actor(user_id=row.user_id, role=Role(row.role), scope=scope)


async def open_session(session: AsyncSession, user_id: UUID, user_agent: str | None) -> str:
    """Log a person in; the token for the cookie."""
    token = new_token()
    session.add(
        LoginSession(
            token_hash=token_hash(token),
            user_id=user_id,
            user_agent=user_agent[:500] if user_agent else None,
            expires_at=datetime.now(UTC) + SESSION_LASTS,
        )
    )
    await session.flush()
    return token


async def close_session(session: AsyncSession, token: str) -> None:
    """Log out."""
    await session.execute(delete(LoginSession).where(LoginSession.token_hash == token_hash(token)))


async def new_link(session: AsyncSession, user_id: UUID) -> str:
    """A token that logs the person in once, within a quarter of an hour."""
    token = new_token()
    session.add(LoginLink(token_hash=token_hash(token), user_id=user_id, expires_at=datetime.now(UTC) + LINK_LASTS))
    await session.flush()
    return token


async def use_link(session: AsyncSession, token: str) -> UUID:
    """Whose link this is; it is used up. Raises NotLoggedIn."""
    used = delete(LoginLink).where(LoginLink.token_hash == token_hash(token), LoginLink.expires_at > datetime.now(UTC))
    user_id = await session.scalar(used.returning(LoginLink.user_id))
    if user_id is None:
        raise NotLoggedIn("This link was used already, or is too old. `gleanset up` prints a new one.")
    return user_id
