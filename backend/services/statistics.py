"""What a job's downloads are like: counts and histograms, in one pass of the database over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob
from backend.schemas.images import Histogram, Statistics
from backend.services.search import bounded
from gleanset.sources.licence import UNKNOWN

MOST = 100_000
"""Images looked at: some 0.5 s. Of a job with more, every so many-th is."""
_SECONDS = 20
_WORDS_AT_MOST = 200

EDGES: Mapping[str, tuple[float, ...]] = {
    "shorter_side": (64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096),
    "aspect_ratio": (0.25, 0.5, 0.65, 0.75, 0.9, 1.1, 1.3, 1.45, 1.7, 2, 3, 4),
    "file_size": (5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000),
    "sharpness": (5, 10, 25, 50, 100, 200, 400, 800, 1600, 3200),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
}
_MEASURES = {
    "shorter_side": "least(width, height)",
    "aspect_ratio": "width / nullif(CAST(height AS float), 0)",
    "file_size": "file_size",
    "sharpness": "sharpness",
    "brightness": "brightness",
}
_WORDS = ("label", "source", "licence", "format")
_BUCKETS = ", ".join(
    f"width_bucket(CAST({measure} AS float), CAST(:{name} AS float[])) AS {name}" for name, measure in _MEASURES.items()
)
_COUNTS = " UNION ALL ".join(
    f"(SELECT '{name}' AS name, CAST({name} AS text) AS value, count(*) AS images FROM looked"  # noqa: S608
    f" GROUP BY {name} ORDER BY images DESC LIMIT {_WORDS_AT_MOST})"
    for name in (*_WORDS, *_MEASURES)
)
# Ids are shuffled before every so many-th is taken: pictures of one kind may come in a rhythm.
_COUNTED = text(f"""
    WITH looked AS MATERIALIZED (
        SELECT {", ".join(_WORDS)}, {_BUCKETS} FROM images
        WHERE crawl_job_id = :job AND outcome = 'downloaded'
            AND (id % 4294967296 * 1103515245 >> 15) % :every = 0
    )
    {_COUNTS}
""")  # noqa: S608 - made of constants


async def statistics(session: AsyncSession, job: CrawlJob) -> Statistics:
    """Raises TookTooLong."""
    every = max(1, -(-job.downloaded_images // MOST))
    values: dict[str, Any] = {name: [float(edge) for edge in edges] for name, edges in EDGES.items()}
    async with bounded(session, _SECONDS):
        rows = (await session.execute(_COUNTED, values | {"job": job.id, "every": every})).all()
    counts: dict[str, dict[str | None, int]] = {name: {} for name in (*_WORDS, *_MEASURES)}
    for name, value, count in rows:
        counts[name][value] = count * every
    words = {
        name: dict(sorted(((value or UNKNOWN, n) for value, n in counts[name].items()), key=lambda pair: -pair[1]))
        for name in _WORDS
    }
    return Statistics(
        images=sum(counts["format"].values()),
        every=every,
        labels=words["label"],
        sources=words["source"],
        licences=words["licence"],
        formats=words["format"],
        **{name: _histogram(name, counts[name]) for name in _MEASURES},
    )


def _histogram(name: str, counts: Mapping[str | None, int]) -> Histogram:
    edges = EDGES[name]
    return Histogram(edges=list(edges), counts=[counts.get(str(place), 0) for place in range(len(edges) + 1)])
