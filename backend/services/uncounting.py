"""Counters of a job's chunks when images of it are gone: what is shown of sources and labels is summed over chunks.

An image does not know its chunk. What one keyword of one source gave is that chunk's; what a list gave is taken from
the list's chunks in their order, so that the sums are right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlChunk, Image


@dataclass(slots=True)
class Gone:
    """Images of one source, label and keyword of a job that are gone. `duplicates`: those that were not the first."""

    crawl_job_id: int
    source: str | None
    label: str | None
    keyword: str | None
    images: int
    duplicates: int
    bytes: int


async def gone(session: AsyncSession, condition: ColumnElement[bool]) -> list[Gone]:
    """The images that meet the condition, all rows of the same bytes or none, to be asked while they are there."""
    place = func.row_number().over(partition_by=(Image.crawl_job_id, Image.sha256), order_by=Image.id)
    columns = (Image.crawl_job_id, Image.source, Image.label, Image.keyword)
    met = select(*columns, place.label("place"), func.coalesce(Image.file_size, 0).label("size")).where(condition)
    rows = met.subquery()
    keys = (rows.c.crawl_job_id, rows.c.source, rows.c.label, rows.c.keyword)
    counted = select(*keys, func.count(), func.count().filter(rows.c.place > 1), func.sum(rows.c.size)).group_by(*keys)
    return [
        Gone(job, source, label, keyword, images, duplicates, int(size))
        for job, source, label, keyword, images, duplicates, size in await session.execute(counted)
    ]


async def uncount(session: AsyncSession, parts: Iterable[Gone], reason: str) -> None:
    """Take them from the counters of their chunks, and count them there under the reason. The jobs are locked."""
    for part in parts:
        query = select(CrawlChunk).filter_by(crawl_job_id=part.crawl_job_id).where(CrawlChunk.downloaded_images > 0)
        chunks = (await session.scalars(query.execution_options(populate_existing=True))).all()
        for chunk in sorted(chunks, key=lambda chunk: (*_unlike(chunk, part), chunk.position)):
            _take(chunk, part, reason)
    await session.flush()


def _unlike(chunk: CrawlChunk, part: Gone) -> tuple[bool, bool]:
    of_source = chunk.source == part.source
    return not (of_source and (chunk.label, chunk.keyword) == (part.label, part.keyword)), not of_source


def _take(chunk: CrawlChunk, part: Gone, reason: str) -> None:
    images = min(part.images, chunk.downloaded_images)
    if not images:
        return
    size = min(part.bytes * images // part.images, chunk.bytes)
    duplicates = min(part.duplicates, images, chunk.duplicate_images)
    chunk.downloaded_images -= images
    chunk.duplicate_images -= duplicates
    chunk.bytes -= size
    chunk.reasons = {**chunk.reasons, reason: chunk.reasons.get(reason, 0) + images}
    part.images -= images
    part.duplicates -= duplicates
    part.bytes -= size
