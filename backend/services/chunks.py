"""The life of a chunk: claimed by a task, recorded batch by batch, ended; and with the last of them, the job's end.

Every function locks the job's row before it touches a chunk, so counters are exact and locks are always taken in one
order. A chunk that is run again gets a new `attempts` number; a task that lost its chunk to another can write nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend import queue
from backend.models import CrawlChunk, CrawlJob, Project
from backend.models.enums import JobStatus
from backend.schemas.plans import CrawlPlan
from backend.services import validation
from backend.services.allowances import Allowance, bytes_sentence, bytes_used_up
from backend.services.images import insert_outcomes
from backend.services.quotas import hand_over, quotas
from backend.services.refreshes import KNOWN
from backend.services.states import announce, locked, move
from gleanset.errors import RuleError
from gleanset.rules import RuleSet
from gleanset.types import Outcome, Query

TASK = "crawl.chunk"
_OPEN = (JobStatus.PENDING.value, JobStatus.RUNNING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task's hold on a chunk. `limit`: downloads that are still wanted of it; None for all that it has.

    `met`: URLs recorded before.
    """

    chunk_id: int
    crawl_job_id: int
    attempt: int
    query: Query
    cursor: str | None
    limit: int | None
    met: int
    plan: CrawlPlan


async def claim(session: AsyncSession, crawl_job_id: int, chunk_id: int, again: Claim | None = None) -> Claim | None:
    """Take the chunk for a task; None when there is nothing left to do for it.

    `again` is the task's earlier hold: the chunk is not taken back from a task that took it over meanwhile.
    """
    job = await locked(session, CrawlJob, crawl_job_id)
    chunk = await session.get_one(CrawlChunk, chunk_id, populate_existing=True)
    if job.status != JobStatus.RUNNING or chunk.status not in _OPEN:
        return None
    if again is not None and chunk.attempts != again.attempt:
        return None
    room = job.max_images - job.distinct_images
    quota = room if chunk.quota is None else chunk.quota - chunk.distinct_images
    limit = None if chunk.source == KNOWN else max(0, min(room, quota))
    if chunk.status == JobStatus.PENDING:
        job.active_chunks += 1
    chunk.status = JobStatus.RUNNING.value
    chunk.error_message = None
    chunk.attempts += 1
    chunk.started_at = chunk.started_at or datetime.now(UTC)
    plan = CrawlPlan.model_validate(job.options)
    licences = None if plan.licences is None else frozenset(plan.licences)
    return Claim(
        chunk_id=chunk.id,
        crawl_job_id=job.id,
        attempt=chunk.attempts,
        query=Query(
            source=chunk.source, label=chunk.label, keyword=chunk.keyword, options=chunk.options, licences=licences
        ),
        cursor=chunk.cursor,
        limit=limit,
        met=chunk.total_images,
        plan=plan,
    )


async def record(
    session: AsyncSession,
    held: Claim,
    outcomes: Sequence[Outcome],
    cursor: str | None,
    *,
    exhausted: bool,
    storage_url: Callable[[str], str],
) -> bool:
    """Write a batch: image rows, the chunk's cursor, the counters of chunk and job. Whether the task may go on."""
    job = await locked(session, CrawlJob, held.crawl_job_id)
    chunk = await _still_held(session, job, held)
    if chunk is None:
        return False
    # What is known is visited and kept whatever the job has by then: the limit is for what is new.
    room = None if chunk.source == KNOWN else max(0, job.max_images - job.distinct_images)
    refresh = held.plan.refresh_of is not None
    done = await insert_outcomes(session, job.id, outcomes, storage_url, room, refresh=refresh)
    chunk.cursor, chunk.exhausted = cursor, exhausted
    chunk.total_images += done.total
    chunk.downloaded_images += done.downloaded
    chunk.duplicate_images += done.duplicates
    chunk.bytes += done.bytes
    chunk.reasons = _sum(chunk.reasons, done.reasons)
    chunk.changes = _sum(chunk.changes, done.changes)
    job.total_images += done.total
    job.downloaded_images += done.downloaded
    job.duplicate_images += done.duplicates
    job.progress = _progress(job)
    if job.distinct_images >= job.max_images and not await _known_left(session, job):
        await finish(session, job)
        return False
    await announce(session, job.id)
    return True


async def end_beyond(session: AsyncSession, held: Claim, allowance: Allowance) -> bool:
    """Whether the job ends here, failed, because its owner has as many bytes as they may have."""
    if allowance.bytes is None:
        return False
    job = await locked(session, CrawlJob, held.crawl_job_id)
    owner_id = (await session.get_one(Project, job.project_id)).user_id
    had = await bytes_used_up(session, owner_id, allowance)
    if had is None or job.status != JobStatus.RUNNING:
        return False
    stopping = update(CrawlChunk).where(CrawlChunk.crawl_job_id == job.id, CrawlChunk.status.in_(_OPEN))
    await session.execute(stopping.values(status=JobStatus.CANCELLED.value))
    job.active_chunks = 0
    await queue.abort(session, job.task_ids)
    error = f"{bytes_sentence(allowance, had)} Then try this one again."
    await move(session, job, JobStatus.FAILED, user_id=None, error=error)
    return True


async def end(session: AsyncSession, held: Claim, *, error: str | None = None) -> None:
    """The task is through with its chunk, or has failed at it; with the last chunk the job ends too."""
    job = await locked(session, CrawlJob, held.crawl_job_id)
    chunk = await _still_held(session, job, held)
    if chunk is None:
        return
    chunk.status = JobStatus.FAILED.value if error else JobStatus.COMPLETED.value
    chunk.error_message = error
    chunk.completed_at = datetime.now(UTC)
    if held.limit != 0 and chunk.total_images == held.met:
        chunk.exhausted = True  # it may say what it will: nothing new came, and asking again would go on for ever
    job.active_chunks -= 1
    job.failed_chunks += error is not None
    job.completed_chunks += error is None
    job.progress = _progress(job)
    await session.flush()
    still_open = await session.scalar(
        select(func.count())
        .select_from(CrawlChunk)
        .where(CrawlChunk.crawl_job_id == job.id, CrawlChunk.status.in_(_OPEN))
    )
    if not still_open and not await _hand_over(session, job):
        await finish(session, job)
    await announce(session, job.id)


async def postpone(session: AsyncSession, held: Claim, task_id: int | None, until: datetime, why: str) -> None:
    """Give the chunk back until its service answers again; a new task takes the place of this one then.

    Meanwhile it is pending, with `why` for people who look.
    """
    job = await locked(session, CrawlJob, held.crawl_job_id)
    chunk = await _still_held(session, job, held)
    if chunk is None:
        return
    chunk.status = JobStatus.PENDING.value
    chunk.error_message = why
    job.active_chunks -= 1
    arguments = {"crawl_job_id": job.id, "chunk_id": chunk.id}
    new = await queue.defer_many(session, TASK, job.id, [arguments], not_before=until)
    job.task_ids = [*(each for each in job.task_ids if each != task_id), *new]
    await session.flush()
    await announce(session, job.id)


async def waiting(session: AsyncSession, crawl_job_id: int) -> str | None:
    """What chunks of the job wait for, in the words of the first of them; None when none does."""
    found = select(CrawlChunk.error_message).where(
        CrawlChunk.crawl_job_id == crawl_job_id,
        CrawlChunk.status == JobStatus.PENDING.value,
        CrawlChunk.error_message.is_not(None),
    )
    return await session.scalar(found.order_by(CrawlChunk.position).limit(1))


async def defer(session: AsyncSession, job: CrawlJob, chunks: Sequence[CrawlChunk]) -> None:
    """Enqueue a task for each of the chunks, which are pending."""
    arguments = ({"crawl_job_id": job.id, "chunk_id": chunk.id} for chunk in chunks)
    job.task_ids = await queue.defer_many(session, TASK, job.id, arguments)


async def _still_held(session: AsyncSession, job: CrawlJob, held: Claim) -> CrawlChunk | None:
    chunk = await session.get_one(CrawlChunk, held.chunk_id, populate_existing=True)
    mine = chunk.attempts == held.attempt and chunk.status == JobStatus.RUNNING
    return chunk if mine and job.status == JobStatus.RUNNING else None


async def _known_left(session: AsyncSession, job: CrawlJob) -> bool:
    """Whether known images of a refresh are still to be visited."""
    left = select(CrawlChunk.id).where(
        CrawlChunk.crawl_job_id == job.id, CrawlChunk.source == KNOWN, CrawlChunk.status.in_(_OPEN)
    )
    await session.flush()
    return await session.scalar(left.limit(1)) is not None


async def _hand_over(session: AsyncSession, job: CrawlJob) -> bool:
    """Give what some chunks could not fill to those that stopped before their end; whether there are such."""
    query = select(CrawlChunk).where(CrawlChunk.crawl_job_id == job.id).order_by(CrawlChunk.position)
    found = (await session.scalars(query)).all()
    chunks = [chunk for chunk in found if chunk.source != KNOWN]
    going_on = [chunk for chunk in chunks if chunk.status == JobStatus.COMPLETED and not chunk.exhausted]
    room = max(0, job.max_images - job.distinct_images)
    wanted, had = Counter[str](), Counter[str]()
    for chunk, quota in zip(chunks, quotas(room + sum(c.distinct_images for c in chunks), chunks), strict=True):
        wanted[chunk.label] += quota
        had[chunk.label] += chunk.distinct_images
    parts = hand_over(room, wanted, had, going_on)
    reopened = [(chunk, part) for chunk, part in zip(going_on, parts, strict=True) if part]
    for chunk, part in reopened:
        chunk.quota = chunk.distinct_images + part
        chunk.status = JobStatus.PENDING.value
        job.completed_chunks -= 1
    await session.flush()
    await defer(session, job, [chunk for chunk, _ in reopened])
    return bool(reopened)


async def finish(session: AsyncSession, job: CrawlJob) -> None:
    """End the job: what still runs is not needed any more, and what was to follow begins."""
    stopped = await session.execute(
        update(CrawlChunk)
        .where(CrawlChunk.crawl_job_id == job.id, CrawlChunk.status.in_(_OPEN))
        .values(status=JobStatus.COMPLETED.value, completed_at=func.now())
        .returning(CrawlChunk.id)
    )
    job.completed_chunks += len(stopped.all())
    job.active_chunks = 0
    await queue.abort(session, job.task_ids)
    if job.failed_chunks and job.distinct_images < job.max_images:
        first = select(CrawlChunk.error_message).where(
            CrawlChunk.crawl_job_id == job.id, CrawlChunk.status == JobStatus.FAILED.value
        )
        error = await session.scalar(first.order_by(CrawlChunk.position).limit(1))
        part = f"{job.failed_chunks} of {job.total_chunks} parts of the job failed, the first so: "
        error = f"{part if job.total_chunks > 1 else ''}{error}"
        await move(session, job, JobStatus.FAILED, user_id=None, error=error)
        return
    plan = CrawlPlan.model_validate(job.options)
    if plan.rules is not None:
        try:
            RuleSet.parse(plan.rules, plan.rules_name)
        except RuleError as error:  # of an earlier version, which took them
            sentence = f"The images are there, but cannot be judged by the job's rules: {error} Validate it by others."
            await move(session, job, JobStatus.FAILED, user_id=None, error=sentence)
            return
    await move(session, job, JobStatus.COMPLETED, user_id=None)
    if plan.rules is not None:
        owner_id = (await session.get_one(Project, job.project_id)).user_id
        await validation.create(session, job, plan.rules, rules_name=plan.rules_name, user_id=owner_id, planned=True)


def _progress(job: CrawlJob) -> int:
    """Percent: of the images wanted or of the chunks done, whichever is further; 100 is for the end.

    A chunk that failed is not done: it is what trying again goes on with.
    """
    images = 100 * job.distinct_images // max(1, job.max_images)
    return min(99, max(images, 100 * job.completed_chunks // max(1, job.total_chunks)))


def _sum(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {reason: left.get(reason, 0) + right.get(reason, 0) for reason in [*left, *(set(right) - set(left))]}
