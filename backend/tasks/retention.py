"""Periodic tasks that sweep away what is old. Whichever worker is free does it; never two at once."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from backend import queue
from backend.services.retention import PURGE_TASK, STORE_TASK, TASK, Swept, purge, sweep, sweep_store
from backend.tasks.runtime import runtime_of

log = structlog.get_logger(__name__)

QUEUE = queue.MAINTENANCE


@queue.app.periodic(cron="17 * * * *")
@queue.app.task(name=TASK, queue=QUEUE, queueing_lock=TASK, lock=QUEUE, pass_context=True)
async def hourly(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - when it was due
    """Exports and rows."""
    runtime = runtime_of(context)
    for swept in await sweep(runtime.settings, runtime.database):
        _tell(swept)


@queue.app.periodic(cron="43 */6 * * *")
@queue.app.task(name=STORE_TASK, queue=QUEUE, queueing_lock=STORE_TASK, lock=QUEUE, pass_context=True)
async def four_times_a_day(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - when it was due
    """The image store, which has to be listed for it."""
    runtime = runtime_of(context)
    for swept in await sweep_store(runtime.settings, runtime.database):
        _tell(swept)


@queue.app.task(name=PURGE_TASK, queue=QUEUE, lock=QUEUE, pass_context=True, retry=queue.RetryInterrupted())
async def purge_project(context: JobContext, project_id: int) -> None:
    """A deleted project that an admin does not want to wait for."""
    runtime = runtime_of(context)
    if trouble := await purge(runtime.settings, runtime.database, project_id):
        log.warning("not purged", project=project_id, why=trouble)


def _tell(swept: Swept) -> None:
    if swept.count or swept.note:
        log.info("swept", what=swept.what, count=swept.count, **({"note": swept.note} if swept.note else {}))
