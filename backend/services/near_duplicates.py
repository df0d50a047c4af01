"""The rule about near-duplicates: of pictures that look alike the best stays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import Image
from backend.services.judging import Bench, mark
from gleanset.rules import NEAR_DUPLICATE
from gleanset.similar import groups

Picture = tuple[int, bytes]


async def valid_pictures(session: AsyncSession, bench: Bench) -> list[Picture]:
    """The images that are valid until now and have a hash that tells something, the best first: id and hash."""
    verdicts = bench.table.c
    query = select(Image.id, Image.pdq).join(bench.table, verdicts.image_id == Image.id)
    query = query.where(verdicts.validation_job_id == bench.validation_job_id, verdicts.valid)
    query = query.where(Image.pdq.is_not(None), Image.pdq_quality >= 50)
    best = (Image.width * Image.height).desc().nulls_last(), Image.sharpness.desc().nulls_last(), Image.id
    return [(number, pdq) for number, pdq in await session.execute(query.order_by(*best)) if pdq]


async def worse_ones(pictures: Sequence[Picture], distance: int) -> list[int]:
    """Of the pictures that hang together all but the best, by id; in a thread, as it takes a while."""
    if not pictures:
        return []
    first = await asyncio.to_thread(groups, [picture[1] for picture in pictures], distance)
    return [pictures[number][0] for number in np.flatnonzero(first != np.arange(len(first))).tolist()]


async def mark_worse_ones(session: AsyncSession, bench: Bench, worse: Sequence[int]) -> int:
    """Write it down; how many images were valid until then."""
    ids = "SELECT unnest(CAST(:worse AS bigint[])) AS id"
    return await mark(session, bench, NEAR_DUPLICATE, ids, worse=list(worse))
