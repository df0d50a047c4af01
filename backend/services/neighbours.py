"""Images of a job that look like one of them, by the Hamming distance of their PDQ hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, Image
from backend.schemas.images import Neighbour, Neighbours
from backend.services.search import DOWNLOADED, FOUND, Found, asking, bounded, images, walk_of

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
        twins = (await session.execute(_twins(image, job).limit(limit), asking(job))).all()
        near, compared = await _near(session, image, job, within, limit - len(twins))
    return Neighbours(
        items=[Neighbour.model_validate(row) for row in (*twins, *near)],
        compared=compared,
    )


async def _near(
    session: AsyncSession, image: Image, job: CrawlJob, within: int, limit: int
) -> tuple[Sequence[Found], int]:
    """Images of other bytes, and how many were compared; none when the hash says too little."""
    if image.pdq is None or (image.pdq_quality or 0) < _PDQ_SAYS_SOMETHING:
        return [], 0
    walk = walk_of(job)
    last = await session.scalar(walk.rows(select(images.c.id), image.id).offset(AROUND - 1).limit(1))
    first = await session.scalar(walk.back(select(images.c.id), image.id).offset(AROUND).limit(1))
    pairs = select(images.c.id).add_columns(_distance(image.pdq).label("distance"))
    around = walk.window(pairs, first or 0, last or 2**63 - 1)
    others = around.where(images.c.sha256 != image.sha256, images.c.pdq_quality >= _PDQ_SAYS_SOMETHING)
    compared = others.order_by(None).cte("compared").prefix_with("MATERIALIZED")
    count = select(func.count()).select_from(compared).scalar_subquery()
    closest = select(compared, count.label("compared")).where(compared.c.distance <= within)
    closest = closest.order_by(compared.c.distance, compared.c.id).limit(limit).subquery()
    query = FOUND.add_columns(closest.c.distance, closest.c.compared, literal(False).label("identical"))
    query = query.join(closest, closest.c.id == images.c.id)
    rows = (await session.execute(query.order_by(closest.c.distance, images.c.id), asking(job))).all()
    return rows, rows[0].compared if rows else 0


def _twins(image: Image, job: CrawlJob) -> Select[Any]:
    same = (images.c.crawl_job_id == job.id, images.c.sha256 == image.sha256, DOWNLOADED, images.c.id != image.id)
    return (
        FOUND.add_columns(literal(0).label("distance"), literal(True).label("identical"))
        .where(*same)
        .order_by(images.c.id)
    )


def _distance(pdq: bytes) -> ColumnElement[int]:
    """PostgreSQL has no XOR of bytes; bit strings of the same length have one."""
    bits: ColumnElement[Any] = literal_column("CAST('x' || encode(images.pdq, 'hex') AS bit(256))")
    return func.bit_count(bits.op("#")(literal_column(f"CAST(x'{pdq.hex()}' AS bit(256))")))
