"""Sources, visits and consumers of the pipeline that do as little as they can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
from PIL import Image

from gleanset.crawl import Batch, CrawlOptions
from gleanset.inspect import InspectLimits, inspect
from gleanset.types import Candidate, Downloaded, Failed, Outcome, Page, Reason

QUICK = CrawlOptions(flush_after=0.02, batch=10, window=8)


def picture(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


INSPECTION = inspect(picture(), InspectLimits())


def candidate(url: str) -> Candidate:
    return Candidate(url=url, label="cat", source="test")


def downloaded(wanted: Candidate) -> Outcome:
    return Downloaded(
        candidate=wanted, inspection=INSPECTION, key="k", final_url=wanted.url, fetched_at=datetime.now(UTC)
    )


def failed(wanted: Candidate) -> Outcome:
    return Failed(candidate=wanted, reason=Reason.NOT_FOUND, detail="", fetched_at=datetime.now(UTC))


async def take(wanted: Candidate) -> Outcome:
    await asyncio.sleep(0)
    return downloaded(wanted)


async def nothing_known(_: Sequence[Candidate]) -> Collection[str]:
    return ()


async def listed(pages: Sequence[Sequence[str]], cursor: str | None = None) -> AsyncIterator[Page]:
    """A source over lists of URLs whose cursor is the number of the next page."""
    start = int(cursor or 0)
    for n in range(start, len(pages)):
        following = str(n + 1) if n + 1 < len(pages) else None
        yield Page(tuple(candidate(url) for url in pages[n]), following)


def numbered(pages: int, size: int) -> list[list[str]]:
    return [[f"http://h/{page * size + n}" for n in range(size)] for page in range(pages)]


async def all_of(batches: AsyncIterator[Batch]) -> list[Batch]:
    return [batch async for batch in batches]


def urls_of(batches: Sequence[Batch]) -> list[str]:
    return [outcome.candidate.url for batch in batches for outcome in batch.outcomes]
