"""Where a run stands, for people who look on: the report, and what its parts have given."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob
from backend.models.enums import JobStatus
from backend.schemas.crawl_jobs import CrawlJobResponse
from backend.schemas.jobs import ValidationJobResponse, export_response
from backend.schemas.progress import ChunkProgress, PartProgress, RunProgress
from backend.services.reports import Report

_MOST_PARTS = 200
_MOST_CHUNKS = 500

# A chunk without a quota may have all that its slice of a list or folder holds. The last row is for the whole job.
_PARTS = """
    SELECT source, label, CASE WHEN bool_and(wanted IS NOT NULL) THEN CAST(sum(wanted) AS bigint) END AS wanted,
        CASE WHEN bool_and(rows IS NOT NULL) THEN CAST(sum(rows) AS bigint) END AS rows,
        CAST(sum(downloaded_images) AS bigint) AS downloaded
    FROM (
        SELECT position, source, label, downloaded_images, CAST(options ->> 'count' AS bigint) AS rows,
            coalesce(quota, CAST(options ->> 'count' AS bigint)) AS wanted
        FROM crawl_chunks WHERE crawl_job_id = :job
    ) AS chunk
    GROUP BY GROUPING SETS ((source), (label), ()) ORDER BY grouping(source, label), min(position), source, label
"""
_CHUNKS = """
    SELECT position, status FROM crawl_chunks WHERE crawl_job_id = :job AND position % :step = 0
    ORDER BY position LIMIT :most
"""


async def progress(session: AsyncSession, now: Report) -> RunProgress:
    """The report with what its sources and labels have given, and the state of its chunks.

    The tasks' ids are left out of the crawl job: there may be thousands, and nobody looks at them.
    """
    job = now.crawl
    *parts, whole = (await session.execute(text(_PARTS), {"job": job.id})).all()
    step = max(1, -(-job.total_chunks // _MOST_CHUNKS))
    strip = await session.execute(text(_CHUNKS), {"job": job.id, "step": step, "most": _MOST_CHUNKS})
    return RunProgress(
        crawl_job=CrawlJobResponse.model_validate(job).model_copy(update={"task_ids": []}),
        validation_job=ValidationJobResponse.model_validate(now.validation) if now.validation else None,
        export_job=export_response(now.export) if now.export else None,
        status=JobStatus(now.status),
        settled=now.settled,
        failures=now.failures,
        invalid=now.invalid,
        bytes=now.bytes,
        seconds=now.seconds,
        images_per_second=now.images_per_second,
        seconds_left=_seconds_left(now, whole.rows),
        sources=[_part(row.source, row) for row in parts if row.source is not None][:_MOST_PARTS],
        labels=[_part(row.label, row) for row in parts if row.label is not None][:_MOST_PARTS],
        chunks=[ChunkProgress(position=position, status=status) for position, status in strip],
        at=now.at,
    )


def _part(name: str, row: Row[Any]) -> PartProgress:
    return PartProgress(name=name, wanted=row.wanted, downloaded=row.downloaded)


def _seconds_left(now: Report, rows: int | None) -> float | None:
    """By how far the job that runs has come in its time; None before the first hundredth."""
    jobs = (now.crawl, now.validation, now.export)
    job = next((job for job in jobs if job is not None and job.status == JobStatus.RUNNING), None)
    if job is None or job.started_at is None:
        return None
    done = _crawled(now.crawl, rows) if job is now.crawl else job.progress / 100
    return (now.at - job.started_at).total_seconds() * (1 - done) / done if done >= 0.01 else None


def _crawled(job: CrawlJob, rows: int | None) -> float:
    """The share that is done: of the images wanted, the chunks, or the lists' rows, whichever is furthest."""
    ended = job.completed_chunks + job.failed_chunks
    shares = [job.distinct_images / job.max_images, ended / max(1, job.total_chunks)]
    if rows:
        shares.append(job.total_images / rows)
    return min(1.0, max(shares))
