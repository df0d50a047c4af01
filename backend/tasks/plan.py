"""The task that plans a crawl job which was asked for through the service: its lists are copied and cut into parts."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog
from procrastinate import JobContext

from backend import queue
from backend.models import CrawlJob
from backend.models.enums import JobStatus
from backend.schemas.plans import CrawlPlan
from backend.services import crawl_jobs
from backend.tasks.errors import aborted_by_user, passing, sentence, told
from backend.tasks.lists import copy_lists
from backend.tasks.runtime import Runtime, runtime_of

ATTEMPTS = 3

log = structlog.get_logger(__name__)


@queue.app.task(name=crawl_jobs.PLAN_TASK, pass_context=True, retry=queue.RetryInterrupted())
async def plan_crawl(context: JobContext, *, crawl_job_id: int, user_id: str | None) -> None:
    """Plan and start the job. Run twice it does no harm: only a job that is still pending is started."""
    runtime = runtime_of(context)
    who = UUID(user_id) if user_id else None
    with aborted_by_user(context):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await _plan(runtime, crawl_job_id, who)
            except Exception as failure:  # a job must end, whatever went wrong
                if passing(failure) and attempt < ATTEMPTS:
                    log.info("planning is tried again", crawl_job=crawl_job_id, **told(failure))
                    await asyncio.sleep(2**attempt)
                    continue
                log.warning("planning failed", crawl_job=crawl_job_id, **told(failure))
                async with runtime.database.transaction() as session:
                    await crawl_jobs.fail_planning(session, crawl_job_id, sentence(failure), user_id=who)
            return


async def _plan(runtime: Runtime, crawl_job_id: int, user_id: UUID | None) -> None:
    settings = runtime.settings
    async with runtime.database.transaction() as session:
        job = await session.get(CrawlJob, crawl_job_id)
    if job is None or job.status != JobStatus.PENDING:
        return
    plan = await copy_lists(settings, CrawlPlan.model_validate(job.options), tell=lambda _: None)
    rows = settings.rows_per_chunk
    queries = await asyncio.to_thread(
        crawl_jobs.plan_queries, job.keywords, plan, rows_per_chunk=rows, options=settings.sources
    )
    async with runtime.database.transaction() as session:
        await crawl_jobs.begin(session, job.id, plan, queries, rows_per_chunk=rows, user_id=user_id)
