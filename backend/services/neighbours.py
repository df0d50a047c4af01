"""Images of a job that look like one of them, by the Hamming distance of their PDQ hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, Image
from backend.schemas.images import Neighbour, Neighbours
from backend.services.search import DOWNLOADED, bounded, images, items_of, walk_of

AROUND = 50_000
"""Images compared on either side: some 0.4 s of work for the database."""
_SECONDS = 5
_PDQ_SAYS_SOMETHING = 50  # the quality from which on PDQ's authors trust it


async def neighbours(session: AsyncSession, image: Image, *, within: int = 64, limit: int = 12) -> Neighbours:
    """The nearest within so many bits, those of the same bytes before all. Raises TookTooLong."""
    if image.sha256 is None:
        return Neighbours(items=[], compared=0)
    job = await session.get_one(CrawlJob, image.crawl_job_id)
    async with bounded(session, _SECONDS):
        twins: Sequence[int] = (await session.scalars(_twins(image, job).limit(limit))).all()
        near, compared = await _near(session, image, job, within, limit - len(twins))
        distances = dict.fromkeys(twins, 0) | near
        items = {item.id: item for item in await items_of(session, job, list(distances))}
    return Neighbours(
        items=[
            Neighbour(**items[number].model_dump(), distance=distance, identical=number in twins)
            for number, distance in distances.items()
            if number in items
        ],
        compared=compared,
    )


async def _near(
    session: AsyncSession, image: Image, job: CrawlJob, within: int, limit: int
) -> tuple[dict[int, int], int]:
    """Distances by id of images of other bytes, and how many were compared; none when the hash says too little."""
    if image.pdq is None or (image.pdq_quality or 0) < _PDQ_SAYS_SOMETHING:
        return {}, 0
    walk = walk_of(job)
    last = await session.scalar(walk.rows(select(images.c.id), image.id).offset(AROUND - 1).limit(1))
    first = await session.scalar(walk.back(select(images.c.id), image.id).offset(AROUND).limit(1))
    pairs = select(images.c.id).add_columns(_distance(image.pdq).label("distance"))
    around = walk.window(pairs, first or 0, last or 2**63 - 1)
    others = around.where(images.c.sha256 != image.sha256, images.c.pdq_quality >= _PDQ_SAYS_SOMETHING)
    compared = others.order_by(None).cte("compared").prefix_with("MATERIALIZED")
    count = select(func.count()).select_from(compared).scalar_subquery()
    closest = select(compared, count.label("compared")).where(compared.c.distance <= within)
    rows = (await session.execute(closest.order_by(compared.c.distance, compared.c.id).limit(limit))).all()
    return {row.id: row.distance for row in rows}, rows[0].compared if rows else 0


def _twins(image: Image, job: CrawlJob) -> Select[Any]:
    same = (images.c.crawl_job_id == job.id, images.c.sha256 == image.sha256, DOWNLOADED, images.c.id != image.id)
    return select(images.c.id).where(*same).order_by(images.c.id)


def _distance(pdq: bytes) -> ColumnElement[int]:
    """PostgreSQL has no XOR of bytes; bit strings of the same length have one."""
    bits: ColumnElement[Any] = literal_column("CAST('x' || encode(images.pdq, 'hex') AS bit(256))")
    return func.bit_count(bits.op("#")(literal_column(f"CAST(x'{pdq.hex()}' AS bit(256))")))
