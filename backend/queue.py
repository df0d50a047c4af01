"""The queue: procrastinate on the same PostgreSQL, so that a row and the task it needs commit together.

Every crawl job has a queue of its own (`job-12`) that also carries its validations and exports. A worker serves all
queues; a command line run serves the queue of its own job only and leaves other people's work alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from procrastinate import App, BaseRetryStrategy, JobContext, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from psycopg import AsyncConnection
from psycopg.errors import ForeignKeyViolation
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

_OURS = """
    WITH ours AS (
        SELECT id FROM procrastinate_jobs
        WHERE id = %(job_id)s AND worker_id = %(worker_id)s AND attempts = %(attempts)s AND status = 'doing' FOR UPDATE
    )
"""
_FINISH = f"{_OURS} SELECT procrastinate_finish_job_v1(id, %(status)s, %(delete_job)s) FROM ours"  # noqa: S608 - a constant of ours
_RETRY = f"""
    {_OURS} SELECT procrastinate_retry_job_v1(id, %(retry_at)s, %(priority)s, %(queue)s, %(lock)s) FROM ours
"""  # noqa: S608 - a constant of ours


MAINTENANCE = "maintenance"
"""The queue of what belongs to no crawl job, and the lock that lets one of it run at a time."""

STOP_WITHIN = 3.0
"""Seconds that tasks have to end by themselves when their worker stops."""


class _OwnTasks(JobManager):
    """Ends a task only for the worker that has it: one that was taken for dead, and goes on, has lost it to another."""

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        await self.connector.execute_query_async(
            _FINISH,
            job_id=job.id,
            worker_id=job.worker_id,
            attempts=job.attempts,
            status=status.value,
            delete_job=delete_job,
        )

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        await self.connector.execute_query_async(
            _RETRY,
            job_id=job.id,
            worker_id=job.worker_id,
            attempts=job.attempts,
            retry_at=retry_at or datetime.now(UTC),
            priority=priority,
            queue=queue,
            lock=lock,
        )


app = App(
    connector=PsycopgConnector(),
    import_paths=[
        "backend.tasks.plan",
        "backend.tasks.crawl",
        "backend.tasks.validation",
        "backend.tasks.jobs",
        "backend.tasks.retention",
    ],
)
app.job_manager = _OwnTasks(app.connector)


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
    return (await defer_many(session, task, crawl_job, [arguments]))[0]


async def defer_maintenance(session: AsyncSession, task: str, /, **arguments: Any) -> int:
    """Enqueue a task of no crawl job, which runs when no other of them does; its id."""
    connection = await psycopg_connection(session)
    deferrer = app.configure_task(task, queue=MAINTENANCE, lock=MAINTENANCE, connection=connection)
    return await deferrer.defer_async(**arguments)


async def defer_many(
    session: AsyncSession,
    task: str,
    crawl_job: int,
    arguments: Iterable[dict[str, Any]],
    *,
    not_before: datetime | None = None,
) -> list[int]:
    """Enqueue a task for each of the arguments, thousands of them at once; their ids."""
    connection = await psycopg_connection(session)
    deferrer = app.configure_task(task, queue=queue_of(crawl_job), connection=connection, schedule_at=not_before)
    return await deferrer.batch_defer_async(*arguments)


async def abort(session: AsyncSession, task_ids: Sequence[int]) -> None:
    """Cancel waiting tasks and tell the workers of running ones to stop them, when the transaction commits."""
    await session.execute(
        text("SELECT procrastinate_cancel_job_v1(id, true, false) FROM unnest(CAST(:ids AS bigint[])) AS id"),
        {"ids": list(task_ids)},
    )


async def abort_of(session: AsyncSession, crawl_job: int, task: str, /, **arguments: Any) -> None:
    """Cancel or stop the tasks of this name and these arguments in the crawl job's queue."""
    ids = await session.scalars(
        text(
            "SELECT id FROM procrastinate_jobs WHERE queue_name = :queue AND task_name = :task"
            " AND args @> CAST(:arguments AS jsonb) AND status IN ('todo', 'doing')"
        ),
        {"queue": queue_of(crawl_job), "task": task, "arguments": json.dumps(arguments)},
    )
    await abort(session, ids.all())


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
async def opened(conninfo: str) -> AsyncGenerator[App]:
    """The app, which is the process's, with connections of this block's own."""
    with app.replace_connector(PsycopgConnector(conninfo=conninfo, min_size=1, max_size=6)):
        async with app.open_async():
            yield app


@asynccontextmanager
async def worker(
    conninfo: str, context: dict[str, Any], *, queues: Sequence[str] | None, concurrency: int, heartbeat: float
) -> AsyncGenerator[asyncio.Task[None]]:
    """A worker that runs beside the block, as a task that ends only by an error; it stops with the block.

    Tasks that are still running then have a few seconds to end by themselves; others are interrupted and go back to
    the queue.
    """
    async with opened(conninfo):
        dead_after = 5 * heartbeat
        options: dict[str, Any] = {
            "queues": queues,
            "concurrency": concurrency,
            "additional_context": context,
            "install_signal_handlers": False,
            "delete_jobs": "always",
            "update_heartbeat_interval": heartbeat,
            "stalled_worker_timeout": dead_after,
            # Signs of life end with the stop, so the wait is shorter than what makes a worker look dead.
            "shutdown_graceful_timeout": min(STOP_WITHIN, 2 * heartbeat),
            "worker_middleware": [_log_with_ids],
            "fetch_job_polling_interval": 2.0,
            "abort_job_polling_interval": 2.0,
        }
        work = asyncio.create_task(_work_for_ever(options))
        rescue = asyncio.create_task(_rescue_for_ever(dead_after))
        try:
            yield work
        finally:
            for task in (rescue, work):
                task.cancel()
                with suppress(asyncio.CancelledError, ConnectorException):
                    await task


async def _log_with_ids(call_next: Callable[[], Awaitable[Any]], context: JobContext, _worker: Any) -> Any:
    """Every line that a task logs tells which task and job it is about."""
    with structlog.contextvars.bound_contextvars(
        task=context.job.task_name, task_id=context.job.id, queue=context.job.queue, **context.job.task_kwargs
    ):
        return await call_next()


async def _work_for_ever(options: dict[str, Any]) -> None:
    """Ends only by an error. A worker that slept through its own heartbeats may have been struck off by another."""
    while True:
        try:
            await app.run_worker_async(**options)
        except ConnectorException as error:
            if not isinstance(error.__cause__, ForeignKeyViolation):
                raise
            log.warning("this worker was taken for dead; it goes on as a new one")
        else:
            return


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
