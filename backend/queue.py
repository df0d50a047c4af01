"""The queue: procrastinate on the same PostgreSQL, so that a row and the task it needs commit together.

Every crawl job has a queue of its own (`job-12`) that also carries its validations and exports. A worker serves all
queues; a command line run serves the queue of its own job only and leaves other people's work alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import structlog
from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

app = App(connector=PsycopgConnector(), import_paths=["backend.tasks.crawl", "backend.tasks.jobs"])

log = structlog.get_logger(__name__)


class RetryInterrupted(BaseRetryStrategy):
    """A task whose worker was stopped runs again, however often that happens. Errors are the task's own affair."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:  # noqa: ARG002
        return RetryDecision(retry_in={"seconds": 0}) if isinstance(exception, asyncio.CancelledError) else None


def queue_of(crawl_job_id: int) -> str:
    """The queue of a crawl job and of everything that hangs from it."""
    return f"job-{crawl_job_id}"


async def psycopg_connection(session: AsyncSession) -> AsyncConnection[Any]:
    """The psycopg connection that the session's transaction runs on."""
    raw = await (await session.connection()).get_raw_connection()
    return cast("AsyncConnection[Any]", raw.driver_connection)


async def defer(session: AsyncSession, task: str, crawl_job: int, /, **arguments: Any) -> int:
    """Enqueue a task by its name in the session's own transaction; the task's id."""
    connection = await psycopg_connection(session)
    deferrer = app.configure_task(task, queue=queue_of(crawl_job), connection=connection)
    return await deferrer.defer_async(**arguments)


async def abort(session: AsyncSession, task_ids: Sequence[int]) -> None:
    """Cancel waiting tasks and tell the workers of running ones to stop them, when the transaction commits."""
    await session.execute(
        text("SELECT procrastinate_cancel_job_v1(id, true, false) FROM unnest(CAST(:ids AS bigint[])) AS id"),
        {"ids": list(task_ids)},
    )


async def has_tasks(session: AsyncSession, crawl_job: int) -> bool:
    """Whether anything of the crawl job waits in the queue or is being worked on."""
    found = await session.scalar(
        text(
            "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE queue_name = :queue AND status IN ('todo', 'doing'))"
        ),
        {"queue": queue_of(crawl_job)},
    )
    return bool(found)


@asynccontextmanager
async def worker(
    conninfo: str, context: dict[str, Any], *, queues: Sequence[str] | None, concurrency: int, heartbeat: float
) -> AsyncGenerator[asyncio.Task[None]]:
    """A worker that runs beside the block, as a task that ends only by an error; it stops with the block.

    Tasks that are still running then are interrupted and go back to the queue.
    """
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=6, open=False) as pool:
        await app.open_async(pool)
        dead_after = 5 * heartbeat
        work = asyncio.create_task(
            app.run_worker_async(
                queues=queues,  # pyright: ignore[reportArgumentType] - None is every queue, its annotation forgets that
                concurrency=concurrency,
                additional_context=context,
                install_signal_handlers=False,
                delete_jobs="always",
                update_heartbeat_interval=heartbeat,
                stalled_worker_timeout=dead_after,
                shutdown_graceful_timeout=0.0,
                fetch_job_polling_interval=2.0,
                abort_job_polling_interval=2.0,
            )
        )
        rescue = asyncio.create_task(_rescue_for_ever(dead_after))
        try:
            yield work
        finally:
            for task in (rescue, work):
                task.cancel()
                with suppress(asyncio.CancelledError, ConnectorException):
                    await task


# One statement, so that two rescuers cannot requeue a task twice; a task is looked at and given back under its lock.
_RESCUE = """
    WITH stalled AS (
        SELECT task.id, task.task_name, task.args
        FROM procrastinate_jobs AS task LEFT JOIN procrastinate_workers AS worker ON worker.id = task.worker_id
        WHERE task.status = 'doing'
          AND (worker.id IS NULL OR worker.last_heartbeat < now() - make_interval(secs => %(dead_after)s))
        FOR UPDATE OF task SKIP LOCKED
    )
    SELECT procrastinate_retry_job_v1(id, now(), NULL, NULL, NULL), task_name, args FROM stalled
"""


async def _rescue_for_ever(dead_after: float) -> None:
    """Give the tasks of dead workers back to the queue."""
    pause = dead_after / 4
    while True:
        asleep = time.monotonic()
        await asyncio.sleep(pause)
        if time.monotonic() - asleep > 2 * pause:
            continue  # this process was stopped itself, and its own heartbeat has to come first
        try:
            for task in await app.connector.execute_query_all_async(_RESCUE, dead_after=dead_after):
                log.warning("rescued the task of a dead worker", task=task["task_name"], arguments=task["args"])
        except ConnectorException:  # a database that is away for a moment; the worker itself tells
            log.warning("could not look for dead workers", exc_info=True)
