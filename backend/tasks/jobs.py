"""The tasks that run a validation and an export."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import structlog
from procrastinate import JobContext

from backend import queue
from backend.models import CrawlJob, ExportJob, ValidationJob
from backend.services import crawl_jobs, exports, validation
from backend.tasks.errors import aborted_by_user, sentence
from backend.tasks.runtime import Runtime, runtime_of
from gleanset.export import FORMATS, About

log = structlog.get_logger(__name__)


@queue.app.task(name=validation.TASK, pass_context=True, retry=queue.RetryInterrupted())
async def run_validation(context: JobContext, *, validation_job_id: int) -> None:
    """Judge the images batch by batch."""
    runtime = runtime_of(context)
    database = runtime.database
    with aborted_by_user(context):
        async with database.transaction() as session:
            going = await validation.begin(session, validation_job_id)
        try:
            while going:
                runtime.give_back_when_stopping()
                async with database.transaction() as session:
                    going = await validation.judge_batch(session, validation_job_id)
        except Exception as failure:  # a job must end, whatever went wrong
            log.warning("validation failed", validation_job=validation_job_id, exc_info=True)
            async with database.transaction() as session:
                await validation.fail(session, validation_job_id, sentence(failure))


class _Stopped(Exception):
    """The export was cancelled or given to another task."""


@queue.app.task(name=exports.TASK, pass_context=True, retry=queue.RetryInterrupted())
async def run_export(context: JobContext, *, export_job_id: int) -> None:
    """Pack the valid images; a task that lost the job to another run of it leaves nothing behind."""
    runtime = runtime_of(context)
    with aborted_by_user(context):
        async with runtime.database.transaction() as session:
            job = await exports.begin(session, export_job_id)
        if job is None:
            return
        try:
            await _pack(runtime, job)
        except _Stopped:
            return
        except Exception as failure:  # a job must end, whatever went wrong
            log.warning("export failed", export_job=export_job_id, exc_info=True)
            async with runtime.database.transaction() as session:
                await exports.fail(session, export_job_id, job.attempts, sentence(failure))


async def _pack(runtime: Runtime, job: ExportJob) -> None:
    """Write a file of this attempt's own, and move it into place in the transaction that completes the job."""
    folder = runtime.settings.exports
    folder.mkdir(parents=True, exist_ok=True)
    target = exports.file_of(folder, job)
    part = folder / f"{target.name}.{job.attempts}.part"
    for left in folder.glob(f"{target.name}.*.part"):
        left.unlink(missing_ok=True)  # of tasks that were killed or have lost the job to this one

    async def progress(exported: int) -> None:
        async with runtime.database.transaction() as session:
            if not await exports.progress(session, job.id, job.attempts, exported):
                raise _Stopped

    entries = exports.entries(runtime.database, job)
    packed = await FORMATS[job.format](entries, runtime.store, part, await _about(runtime, job), progress)
    sha256 = await asyncio.to_thread(_sha256, part)
    async with runtime.database.transaction() as session:
        days = runtime.settings.export_days
        url = target.as_uri()
        if not await exports.finish(session, job.id, job.attempts, packed, url, sha256=sha256, days=days):
            part.unlink(missing_ok=True)
            raise _Stopped
        part.replace(target)


def _sha256(file: Path) -> bytes:
    """Of the file as it lies there: while it is written, its formats still come back to earlier places."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


async def _about(runtime: Runtime, job: ExportJob) -> About:
    validation_job_id = job.export_options.get("validation_job_id")
    async with runtime.database.transaction() as session:
        crawl_job = await session.get_one(CrawlJob, job.crawl_job_id)
        validated = await session.get(ValidationJob, validation_job_id) if validation_job_id else None
        return About(
            name=job.name,
            keywords=crawl_job.keywords,
            rules=validated.validation_rules if validated else {},
            failures=await crawl_jobs.failures(session, crawl_job.id),
            changes=await crawl_jobs.changes(session, crawl_job.id),
            invalid=await validation.invalid(session, validated.id) if validated else {},
            created=crawl_job.completed_at or crawl_job.created_at,
        )
