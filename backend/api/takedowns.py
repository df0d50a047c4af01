"""Takedowns: images that nobody may have any more."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select

from backend.http.access import Moderator
from backend.http.paging import Cursor, Id, Limit, Page, paged
from backend.http.service import CurrentService, Session, release
from backend.models import Takedown
from backend.schemas.takedowns import TakedownCreate, TakedownMade, TakedownResponse
from backend.services import takedowns

router = APIRouter(prefix="/takedowns", tags=["takedowns"])


@router.get("")
async def list_takedowns(
    session: Session, _: Moderator, cursor: Cursor = None, limit: Limit = 50
) -> Page[TakedownResponse]:
    """The newest first."""
    return await paged(session, select(Takedown), Takedown.id, cursor, limit)


@router.post("", status_code=201)
async def take_down(
    service: CurrentService, request_session: Session, actor: Moderator, body: TakedownCreate
) -> TakedownMade:
    """Remove an image everywhere, and refuse it from now on. Sent again, it goes on where the store failed."""
    await release(request_session)
    done = await takedowns.remove(
        service.database, service.store, url=body.url, sha256=body.digest, why=body.note, user_id=actor.user_id
    )
    made = TakedownResponse.model_validate(done.takedown).model_dump()
    return TakedownMade(**made, images=done.images, exports=done.exports)


@router.delete("/{takedown_id}", status_code=204)
async def withdraw_takedown(session: Session, actor: Moderator, takedown_id: Id) -> None:
    """Let it be gathered again, with the bytes that were taken down with an address. What was erased stays erased."""
    await takedowns.withdraw(session, takedown_id, user_id=actor.user_id)
