"""Erasing blobs while others may be recording images that have the same bytes.

Whoever records a batch shares TURN from before their first look until their commit, and whoever erases holds it alone
from their last look on: so what is erased has no image. But bytes are stored before their image is recorded. So an
erasure is noted before it begins, and who is about to record bytes that are noted looks whether they are still there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, LiteralString
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.db import Database
from backend.queue import psycopg_connection
from gleanset.store import Store, blob_key, parse_key
from gleanset.types import Downloaded, Outcome

TURN = 0x676C7464  # "gltd", a number that nothing else locks
AT_ONCE = 100
"""Blobs that are erased in one turn: nobody records meanwhile."""
NOTE = """
INSERT INTO erased_blobs (sha256) SELECT DISTINCT hash FROM unnest(%b::bytea[]) AS hash ORDER BY hash
ON CONFLICT (sha256) DO UPDATE SET erased_at = now()
"""
ALONE = f"SELECT pg_advisory_xact_lock({TURN})"
_NOTED = "SELECT sha256 FROM erased_blobs WHERE sha256 = ANY(%b::bytea[])"
_IN_USE = """
SELECT hash FROM unnest(%b::bytea[]) AS asked (hash)
WHERE EXISTS (SELECT FROM images WHERE sha256 = hash AND outcome = 'downloaded')
   OR EXISTS (SELECT FROM images WHERE resized_sha256 = hash AND outcome = 'downloaded')
"""


async def take_turn(session: AsyncSession) -> None:
    """Let nobody erase until the end of the transaction: the first thing in one that records."""
    await session.execute(select(func.pg_advisory_xact_lock_shared(TURN)))


async def erase_unused(database: Database, store: Store, keys: Iterable[str]) -> None:
    """Erase those of the blobs that no image has by now. Raises StoreError."""
    hashes = {key: bytes.fromhex(parsed[0]) for key in keys if (parsed := parse_key(key))}
    ordered = sorted(hashes)
    for first in range(0, len(ordered), AT_ONCE):
        some = ordered[first : first + AT_ONCE]
        asked = {hashes[key] for key in some}
        async with database.transaction() as session:
            await (await psycopg_connection(session)).execute(NOTE.encode(), [list(asked)])
        async with database.transaction() as session:
            await session.execute(select(func.pg_advisory_xact_lock(TURN)))
            used = await in_use(session, asked)
            await store.erase(key for key in some if hashes[key] not in used)


async def lost(session: AsyncSession, store: Store, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Downloads whose bytes somebody erased after they were stored, in a transaction that has taken its turn."""
    blobs = {digest: key for each in outcomes if isinstance(each, Downloaded) for digest, key in blobs_of(each).items()}
    noted = await known(session, _NOTED, blobs) if blobs else []
    gone = {digest for digest in noted if await store.modified(blobs[digest]) is None}
    return [each for each in outcomes if isinstance(each, Downloaded) and gone & blobs_of(each).keys()]


async def in_use(session: AsyncSession, hashes: Collection[bytes]) -> set[bytes]:
    """Those that an image has as its bytes, or as those of its resized copy."""
    return set(await known(session, _IN_USE, hashes)) if hashes else set()


async def known(session: AsyncSession, query: LiteralString, keys: Collection[bytes] | Collection[UUID]) -> list[Any]:
    """What the query finds of a thousand keys, which go over as one binary array."""
    found = await (await psycopg_connection(session)).execute(query, [list(keys)])
    return [row[0] for row in await found.fetchall()]


def blobs_of(outcome: Downloaded) -> dict[bytes, str]:
    """The keys of what it put into the store, by hash; of the original bytes there may be none."""
    found: dict[bytes, str] = {}
    if outcome.resized:
        found[bytes.fromhex(outcome.resized.sha256)] = blob_key(outcome.resized.sha256, "jpeg")
    if outcome.key not in found.values():
        found[bytes.fromhex(outcome.inspection.sha256)] = outcome.key
    return found
