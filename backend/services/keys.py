"""API keys: made, shown once, revoked."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import BadInput, Conflict, NotFound
from backend.models import ApiKey, Profile
from backend.models.enums import Scope
from backend.schemas.accounts import ApiKeyCreate
from backend.services.activity import note_own
from backend.services.identity import KEY_PREFIX
from backend.services.secrets import new_token, token_hash

MOST = 100
_SHOWN = len(KEY_PREFIX) + 6


async def create(
    session: AsyncSession, user_id: UUID, wanted: ApiKeyCreate, *, operator: bool = False
) -> tuple[ApiKey, str]:
    """A new key, and its secret. Raises BadInput for one that has expired, Conflict when there are too many."""
    now = datetime.now(UTC)
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise BadInput("A key cannot expire in the past.", field="expires_at")
    await session.get_one(Profile, user_id, with_for_update=True)  # so that two at once are counted
    good = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    mine = select(func.count()).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None), good)
    if (await session.scalar(mine) or 0) >= MOST:
        raise Conflict(f"You have {MOST} keys already. Revoke one that you do not need any more.")
    secret = new_token(KEY_PREFIX)
    key = ApiKey(
        user_id=user_id,
        name=wanted.name,
        prefix=secret[:_SHOWN],
        secret_hash=token_hash(secret),
        scopes=[scope.value for scope in Scope if scope in wanted.scopes],
        expires_at=wanted.expires_at,
    )
    session.add(key)
    await session.flush()
    told = {"name": key.name, "scopes": key.scopes}
    note_own(session, user_id, "api_key.created", key, (None, "good"), operator=operator, **told)
    return key, secret


async def revoke(session: AsyncSession, user_id: UUID, key_id: int, *, operator: bool = False) -> None:
    """It is good for nothing from now on. Raises NotFound; a key that was revoked already stays so."""
    key = await _mine(session, user_id, key_id)
    if key.revoked_at is None:
        key.revoked_at = datetime.now(UTC)
        note_own(session, user_id, "api_key.revoked", key, ("good", "revoked"), operator=operator, name=key.name)


async def delete(session: AsyncSession, user_id: UUID, key_id: int) -> None:
    """The same, for a key that no person made: nor do people see it among theirs any more. Raises NotFound."""
    await revoke(session, user_id, key_id)
    await session.delete(await _mine(session, user_id, key_id))


async def _mine(session: AsyncSession, user_id: UUID, key_id: int) -> ApiKey:
    mine = select(ApiKey).filter_by(id=key_id, user_id=user_id).with_for_update()
    key = await session.scalar(mine) if 0 < key_id < 2**31 else None
    if key is None:
        raise NotFound(f"There is no API key {key_id}.")
    return key
