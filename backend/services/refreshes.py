"""Refreshes: a new crawl job that visits the images of an older one again, and asks its queries for what is new.

The images that the older job had are parts of the new job, in ranges of their ids, beside the parts that ask the plan's
queries again. Those ranges own their URLs: a query that meets one of them leaves it alone, so no URL is asked twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.services.images import urls_among
from gleanset.types import Candidate, Query

KNOWN = "known"
"""Source of the parts of a refresh that visit again what the older job had."""

# A row a range of so many images, in order: the last id, how many, and how many different pictures up to there.
_RANGES = text("""
    WITH firsts AS (
        SELECT id, row_number() OVER (PARTITION BY sha256 ORDER BY id) = 1 AS first FROM images
        WHERE crawl_job_id = :job AND outcome = 'downloaded'
    ), counted AS (
        SELECT id, row_number() OVER (ORDER BY id) AS place,
            count(*) FILTER (WHERE first) OVER (ORDER BY id) AS pictures
        FROM firsts
    )
    SELECT max(id), count(*), max(pictures) FROM counted WHERE pictures <= :most
    GROUP BY (place - 1) / :rows ORDER BY max(id)
""")

_LAST = "SELECT max(CAST(options ->> 'upto' AS bigint)) FROM crawl_chunks WHERE crawl_job_id = :job AND source = :known"


@dataclass(frozen=True, slots=True)
class KnownImages:
    """What of the older job is visited again: a query a range, and how many different pictures these hold."""

    queries: tuple[Query, ...] = ()
    pictures: int = 0


async def known_images(session: AsyncSession, job_id: int, most: int, *, rows_per_chunk: int) -> KnownImages:
    """The downloads of a job, oldest first, up to `most` different pictures."""
    found = (await session.execute(_RANGES, {"job": job_id, "most": most, "rows": rows_per_chunk})).all()
    queries: list[Query] = []
    after = 0
    for upto, count, _ in found:
        options = {"crawl_job_id": job_id, "after": after, "upto": upto, "count": count}
        queries.append(Query(source=KNOWN, label=KNOWN, options=options))
        after = upto
    return KnownImages(tuple(queries), found[-1][2] if found else 0)


async def owned_urls(
    session: AsyncSession, crawl_job_id: int, refresh_of: int, candidates: Sequence[Candidate]
) -> Collection[str]:
    """Which of the candidates' URLs belong to the refresh's parts with known images, visited already or not."""
    where = f"crawl_job_id = :old AND outcome = 'downloaded' AND id <= ({_LAST})"
    return await urls_among(session, candidates, where, {"old": refresh_of, "job": crawl_job_id, "known": KNOWN})
