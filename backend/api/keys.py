"""API keys of whoever asks."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select

from backend.http.access import Owner
from backend.http.paging import Cursor, Limit, Page, paged
from backend.http.service import Session
from backend.models import ApiKey
from backend.schemas.accounts import ApiKeyCreate, ApiKeyResponse, NewApiKeyResponse
from backend.services import keys

router = APIRouter(prefix="/keys", tags=["account"])


@router.get("")
async def list_keys(session: Session, actor: Owner, cursor: Cursor = None, limit: Limit = 50) -> Page[ApiKeyResponse]:
    """The newest first; those that were revoked too."""
    return await paged(session, select(ApiKey).filter_by(user_id=actor.user_id), ApiKey.id, cursor, limit)


@router.post("", status_code=201)
async def create_key(session: Session, actor: Owner, body: ApiKeyCreate) -> NewApiKeyResponse:
    """A new key. `secret` is shown this once."""
    key, secret = await keys.create(session, actor.user_id, body)
    shown = ApiKeyResponse.model_validate(key)
    return NewApiKeyResponse(**shown.model_dump(), secret=secret)


@router.delete("/{key_id}", status_code=204)
async def revoke_key(session: Session, actor: Owner, key_id: int) -> None:
    """The key is good for nothing from now on."""
    await keys.revoke(session, actor.user_id, key_id)
