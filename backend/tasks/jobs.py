"""The task that runs an export."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog
from procrastinate import JobContext
from procrastinate.job_context import AbortReason
from sqlalchemy import func, select

from backend import queue
from backend.models import CrawlJob, ExportJob, Profile, Takedown, ValidationJob
from backend.services import crawl_jobs, deliveries, exports, origins, validation
from backend.tasks.errors import aborted_by_user, sentence, told
from backend.tasks.runtime import Runtime, runtime_of
from backend.tasks.sending import Sending
from gleanset.errors import ExportError, NotDelivered
from gleanset.export import WRITING, About, Entry, Workspace, bring_name_to_disk, bring_to_disk, form_of, pack

log = structlog.get_logger(__name__)


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
            await _pack(runtime, job, cancelled=lambda: context.abort_reason() is AbortReason.USER_REQUEST)
        except _Stopped:
            return
        except Exception as failure:  # a job must end, whatever went wrong
            log.warning("export failed", export_job=export_job_id, **told(failure))
            async with runtime.database.transaction() as session:
                await exports.fail(session, export_job_id, job.attempts, sentence(failure))


async def _pack(runtime: Runtime, job: ExportJob, *, cancelled: Callable[[], bool]) -> None:
    """Pack in a folder of this attempt's own, send the outcome where it was asked for, and move it into place in the
    transaction that ends the job.

    When the worker stops or is killed the folder stays, and the next attempt goes on in it.
    """
    sending = Sending(runtime, job)
    await sending.check()
    about, fingerprint = await _about(runtime, job)
    target = exports.file_of(runtime.settings.exports, job)
    place = await asyncio.to_thread(_workspace, target, job.attempts, fingerprint)

    async def progress(exported: int) -> None:
        runtime.give_back_when_stopping()
        async with runtime.database.transaction() as session:
            if not await exports.progress(session, job.id, job.attempts, exported):
                raise _Stopped

    keep = False
    try:
        division = await exports.divide(runtime.database, job)
        async with runtime.database.transaction() as session:
            about = replace(about, splitting=await origins.splitting(session, job))

        def entries(after: int) -> AsyncIterator[Entry]:
            return exports.entries(runtime.database, job, after, division)

        form = form_of(job.format, exports.container_of(job))
        options = exports.layout_of(job)
        packed = await pack(form, entries, runtime.store, place, about, progress, options, runtime.decoders)
        await sending.send(packed, _Stopped)
        await _brought_to_disk(packed.path)
        async with runtime.database.transaction() as session:
            days, url = runtime.settings.export_days, target.as_uri()
            if not await exports.finish(session, job.id, job.attempts, packed, url, days=days):
                raise _Stopped  # noqa: TRY301 - it ends the transaction, too
            await sending.end()
            exports.discard(target)  # of a finish that was not committed
            packed.path.replace(target)
            await asyncio.to_thread(bring_name_to_disk, target.parent)
    except asyncio.CancelledError:
        keep = not cancelled()
        raise
    except deliveries.TakenDown:
        await sending.withdraw()
        raise
    except Exception as failure:
        # When the database, the store or the place to send it to was away, who tries again goes on.
        keep = isinstance(failure, NotDelivered) or not isinstance(failure, (_Stopped, ExportError))
        raise
    finally:
        await asyncio.to_thread(place.close if keep else place.remove)


async def _brought_to_disk(path: Path) -> None:
    """Raises ExportError: after what the disk could not take, nothing in the folder is to be counted on."""
    try:
        await asyncio.to_thread(bring_to_disk, path)
    except OSError as error:
        raise ExportError(f"The export cannot be written to {path.parent}: {error.strerror or error}.") from error


def _workspace(target: Path, attempt: int, fingerprint: str) -> Workspace:
    """The folder of an attempt before, if that made the same and has ended; what others have left is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    mine = target.with_name(f"{target.name}.{attempt}.part")
    found: Workspace | None = None
    for left in sorted(target.parent.glob(f"{target.name}.*.part")):
        with suppress(BlockingIOError):  # a process that has lost the job, and will find out
            place = Workspace(left, fingerprint)
            if place.state and found is None:
                found = place
            else:
                place.remove()
    if found is None:
        return Workspace(mine, fingerprint)
    found.move(mine)
    return found


async def _about(runtime: Runtime, job: ExportJob) -> tuple[About, str]:
    """What the papers tell, and what stands for all that the export is made of: when that has changed, also by a
    takedown, an attempt before is not gone on with."""
    validation_job_id = job.export_options.get("validation_job_id")
    async with runtime.database.transaction() as session:
        crawl_job = await session.get_one(CrawlJob, job.crawl_job_id)
        validated = await session.get(ValidationJob, validation_job_id) if validation_job_id else None
        owner = await session.get(Profile, job.user_id)
        taken_down = await session.scalar(select(func.max(Takedown.id)))
        about = About(
            name=job.name,
            keywords=crawl_job.keywords,
            rules=validated.validation_rules if validated else {},
            failures=await crawl_jobs.failures(session, crawl_job.id),
            changes=await crawl_jobs.changes(session, crawl_job.id),
            invalid=await validation.invalid(session, validated.id) if validated else {},
            created=crawl_job.completed_at or crawl_job.created_at,
            creator=owner.full_name if owner else None,
            left_out=await origins.left_out(session, crawl_job),
            origin=await origins.origin(session, crawl_job, validated, job.export_options),
        )
    return about, json.dumps([WRITING, job.format, job.export_options, taken_down, repr(about)])
