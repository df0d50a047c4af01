"""The task that runs one chunk of a crawl job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from procrastinate import JobContext
from sqlalchemy.ext.asyncio import AsyncSession

from backend import queue
from backend.services import chunks, erasing, takedowns
from backend.services.allowances import Allowance
from backend.services.chunks import Claim
from backend.services.images import known_urls
from backend.services.refreshes import KNOWN, owned_urls
from backend.tasks.errors import aborted_by_user, passing, sentence, told
from backend.tasks.known import KnownSource
from backend.tasks.runtime import Runtime, runtime_of
from gleanset.crawl import Batch, CrawlOptions, crawl
from gleanset.errors import SourceError
from gleanset.sources import source_info
from gleanset.types import Candidate, Outcome

Gather = Callable[[Candidate], Awaitable[Outcome]]

ATTEMPTS = 3
"""How often a chunk is tried when its source or the database fails in passing."""

log = structlog.get_logger(__name__)


@queue.app.task(name=chunks.TASK, pass_context=True, retry=queue.RetryInterrupted())
async def crawl_chunk(context: JobContext, *, crawl_job_id: int, chunk_id: int) -> None:
    """Run the chunk from its cursor to its end."""
    runtime = runtime_of(context)
    with aborted_by_user(context):
        held = None
        for attempt in range(1, ATTEMPTS + 1):
            held = await runtime.ledger.run(
                partial(chunks.claim, crawl_job_id=crawl_job_id, chunk_id=chunk_id, again=held)
            )
            if held is None:
                return
            try:
                await _run(runtime, held)
                error = None
            except Exception as failure:  # a chunk must end, whatever went wrong
                if isinstance(failure, SourceError) and failure.ready_in is not None:
                    await _postpone(runtime, held, context.job.id, failure)
                    return
                if passing(failure) and attempt < ATTEMPTS:
                    log.info("chunk is tried again", crawl_job=crawl_job_id, chunk=chunk_id, **told(failure))
                    await asyncio.sleep(2**attempt)
                    continue
                log.warning("chunk failed", crawl_job=crawl_job_id, chunk=chunk_id, **told(failure))
                error = sentence(failure)
            runtime.give_back_when_stopping()  # also what failed, which may be for the stopping
            await runtime.ledger.run(partial(chunks.end, held=held, error=error))
            return


async def _postpone(runtime: Runtime, held: Claim, task_id: int | None, failure: SourceError) -> None:
    """The service has no more for us until some moment: until then the worker does something else."""
    until = datetime.now(UTC) + timedelta(seconds=(failure.ready_in or 0.0) + 1.0)
    title = source_info(held.query.source).title
    why = f"Waiting for {title} until {until.astimezone():%Y-%m-%d %H:%M %Z}: it allows no more requests before."
    log.info("chunk is postponed", crawl_job=held.crawl_job_id, chunk=held.chunk_id, until=until.isoformat())
    await runtime.ledger.run(partial(chunks.postpone, held=held, task_id=task_id, until=until, why=why))


async def _run(runtime: Runtime, held: Claim) -> None:
    client = await runtime.client(held.plan)
    refresh_of = held.plan.refresh_of
    again = held.query.source == KNOWN
    source = KnownSource(runtime.database) if again else client.source(held.query.source)

    taken_down: set[str] = set()

    async def known(candidates: Sequence[Candidate]) -> Collection[str]:
        async with runtime.database.transaction() as session:
            taken_down.update(await takedowns.refused_urls(session, candidates))
            found = set(await known_urls(session, held.crawl_job_id, candidates))
            if refresh_of is not None and not again:
                found.update(await owned_urls(session, held.crawl_job_id, refresh_of, candidates))
            return found

    settings = runtime.settings
    options = CrawlOptions(window=settings.window, batch=settings.batch, limit=held.limit)
    pages = source.pages(held.query, held.cursor)
    async with (
        runtime.gatherer(client, source, held.plan, held.query) as gatherer,
        aclosing(
            crawl(pages, _unless(taken_down, gatherer.gather), known, options, held.cursor, runtime.stopping)
        ) as batches,
    ):
        async for batch in batches:
            written = await runtime.ledger.run(partial(_record, held=held, batch=batch, runtime=runtime))
            while written.lost:
                batch = await _again(batch, written.lost, gatherer.gather)
                written = await runtime.ledger.run(partial(_record, held=held, batch=batch, runtime=runtime))
            if written.unwanted:
                await erasing.erase_unused(runtime.database, runtime.store, written.unwanted)
            if not written.go_on:
                return


@dataclass(frozen=True, slots=True)
class _Written:
    """`unwanted`: blobs of what was taken down. `lost`: downloads whose bytes are gone; then nothing was written."""

    go_on: bool
    unwanted: Collection[str] = ()
    lost: Collection[Outcome] = ()


async def _record(session: AsyncSession, *, held: Claim, batch: Batch, runtime: Runtime) -> _Written:
    outcomes, unwanted = await takedowns.sift(session, batch.outcomes)
    lost = await erasing.lost(session, runtime.store, outcomes)
    if lost:
        return _Written(go_on=True, lost=lost)
    url = runtime.store.url
    go_on = await chunks.record(session, held, outcomes, batch.cursor, exhausted=batch.exhausted, storage_url=url)
    if go_on and await chunks.end_beyond(session, held, Allowance.of(runtime.settings)):
        go_on = False
    return _Written(go_on, unwanted)


async def _again(batch: Batch, lost: Collection[Outcome], gather: Gather) -> Batch:
    """The batch with what somebody erased, while it was on its way to here, gathered once more."""
    urls = {outcome.candidate.url for outcome in lost}
    outcomes = [await gather(each.candidate) if each.candidate.url in urls else each for each in batch.outcomes]
    return replace(batch, outcomes=outcomes)


def _unless(taken_down: Collection[str], gather: Gather) -> Gather:
    """What was taken down is not even asked for."""

    async def gather_or_refuse(candidate: Candidate) -> Outcome:
        if candidate.url in taken_down:
            return takedowns.refused(candidate, datetime.now(UTC))
        return await gather(candidate)

    return gather_or_refuse
