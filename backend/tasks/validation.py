"""The task that runs a validation."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog
from procrastinate import JobContext

from backend import queue
from backend.models import ValidationJob
from backend.services import validation, verifying
from backend.tasks.errors import aborted_by_user, sentence, told
from backend.tasks.runtime import Runtime, runtime_of

log = structlog.get_logger(__name__)


@queue.app.task(name=validation.TASK, pass_context=True, retry=queue.RetryInterrupted())
async def run_validation(context: JobContext, *, validation_job_id: int) -> None:
    """Judge the images batch by batch, then together."""
    runtime = runtime_of(context)
    database, verify = runtime.database, partial(_verify, runtime, validation_job_id)
    with aborted_by_user(context):
        try:
            indexes, pause = runtime.settings.indexes, runtime.give_back_when_stopping
            await validation.judge(database, validation_job_id, pause, verify, indexes=indexes)
        except Exception as failure:  # a job must end, whatever went wrong
            log.warning("validation failed", validation_job=validation_job_id, **told(failure))
            async with database.transaction() as session:
                await validation.fail(session, validation_job_id, sentence(failure))


async def _verify(runtime: Runtime, validation_job_id: int) -> None:
    """Read the files of what is valid until now, if the rules say so; as many at once as there are threads."""
    async with runtime.database.transaction() as session:
        job = await session.get_one(ValidationJob, validation_job_id)
    after = verified = 0
    going = bool(job.validation_rules.get("verify_files"))
    while going:
        runtime.give_back_when_stopping()
        async with runtime.database.transaction() as session:
            page = await verifying.next_files(session, validation_job_id, after)
        if not page:
            return
        keys = list({key for files in page for key in files.keys})
        hashes = dict(zip(keys, await asyncio.gather(*map(runtime.hash_of, keys)), strict=True))
        broken = {files.image_id: code for files in page if (code := verifying.verdict(files, hashes))}
        after, verified = page[-1].image_id, verified + len(page)
        async with runtime.database.transaction() as session:
            going = await verifying.mark_files(session, validation_job_id, broken, verified)
