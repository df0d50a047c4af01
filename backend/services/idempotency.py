"""What a request that may be sent twice has made the first time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import Conflict, NotFound
from backend.models import IdempotencyKey
from backend.services.access import Actor, seen
from backend.services.states import AnyJob


async def once(
    session: AsyncSession,
    actor: Actor,
    key: str | None,
    asked: BaseModel,
    kind: type[AnyJob],
    make: Callable[[], Awaitable[AnyJob]],
) -> AnyJob:
    """What `make` makes, or what an earlier request of the actor with this key and the same body has made.

    A twin that comes meanwhile waits for the first one's commit. Raises Conflict when the key stands for another one.
    """
    if key is None:
        return await make()
    # Not the row itself, which is there only when the work is done: twins have to wait before either begins.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{actor.user_id} {key}", 0))))
    digest = _digest(kind.__tablename__, asked)
    known = await session.get(IdempotencyKey, (actor.user_id, key))
    if known is not None:
        if known.request_hash != digest:
            made_before = {"resource_type": known.resource_type, "resource_id": known.resource_id}
            what = f"{known.resource_type.removesuffix('s').replace('_', ' ')} {known.resource_id}"
            raise Conflict(
                f"This Idempotency-Key made the {what} for another request. Use a new key for a new request.",
                **made_before,
            )
        try:
            return await seen(session, actor, kind, known.resource_id)
        except NotFound:
            raise Conflict("What this Idempotency-Key made is gone. Use a new key to make another.") from None
    made = await make()
    session.add(
        IdempotencyKey(
            user_id=actor.user_id,
            key=key,
            request_hash=digest,
            resource_type=kind.__tablename__,
            resource_id=made.id,
        )
    )
    await session.flush()
    return made


def _digest(kind: str, asked: BaseModel) -> bytes:
    """The same for bodies that mean the same, however they were written."""
    meant = json.dumps([kind, asked.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(meant.encode()).digest()
