"""Validation jobs: every downloaded image of a crawl job judged by rules, set-based, on the measures in its row."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg.errors import LockNotAvailable, UniqueViolation
from sqlalchemy import exists, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from backend import queue
from backend.db import Database
from backend.errors import IllegalMove
from backend.models import CrawlJob, Image, ValidationJob, Verdict
from backend.models.enums import ImageOutcome, JobStatus
from backend.schemas.plans import CrawlPlan
from backend.schemas.rules import ValidationRequest
from backend.services import across_jobs, allowances, decisions, exports, near_across_jobs, near_duplicates, verifying
from backend.services.activity import note
from backend.services.allowances import Allowance
from backend.services.judging import (
    Bench,
    Copies,
    bench_of,
    copies_of,
    downloaded,
    end_of,
    judge_copies,
    judge_each,
    judge_labels,
)
from backend.services.states import announce, ended, locked, move
from gleanset.rules import Rules, RuleSet
from gleanset.types import Reason

TASK = "validation.run"
BATCH = 100_000
"""Images judged in one transaction: some 0.5 s, so that progress moves and a cancel is heeded."""
_AT_ONCE = 2
"""Batches under way together: what it takes goes into PostgreSQL, which does not spread an INSERT over the cores."""
_PATIENCE = 2
"""Seconds for rows that another worker is writing."""


async def create(
    session: AsyncSession,
    crawl_job: CrawlJob,
    rules: dict[str, Any],
    name: str | None = None,
    rules_name: str | None = None,
    *,
    user_id: UUID,
    planned: bool = False,
) -> ValidationJob:
    """A pending validation with its task, asked for by this person; `planned` as what follows the crawl that ends just
    now, so that it counts as part of that run. Raises RuleError for rules that cannot be."""
    asked = RuleSet.parse(rules, rules_name)
    job = ValidationJob(
        crawl_job_id=crawl_job.id,
        name=(name or f"Validation of {crawl_job.name}")[:100],
        validation_rules=asked.rules.as_dict(),
        rules_name=asked.name,
        rules_version=asked.version,
        rules_hash=bytes.fromhex(asked.hash),
    )
    if planned and crawl_job.completed_at is not None:
        job.created_at = crawl_job.completed_at
    session.add(job)
    await session.flush()
    made = (None, job.status)
    note(session, user_id, "validation_job.created", job, made, name=job.name, crawl_job_id=crawl_job.id)
    await queue.defer(session, TASK, crawl_job.id, validation_job_id=job.id)
    return job


async def order(session: AsyncSession, wanted: ValidationRequest, user_id: UUID, allowance: Allowance) -> ValidationJob:
    """A validation as the API asks for it. Raises IllegalMove while the crawl is under way, TooMany."""
    asked = await session.get_one(CrawlJob, wanted.crawl_job_id)
    await allowances.check_follower(session, asked, allowance, packing=False)
    crawl_job = await ended(session, wanted.crawl_job_id, "judge its images")
    rules, name = wanted.validation_rules, wanted.name
    return await create(session, crawl_job, rules, name, wanted.rules_name, user_id=user_id)


async def again(session: AsyncSession, job: ValidationJob, user_id: UUID, allowance: Allowance) -> ValidationJob:
    """Go on with a failed or cancelled validation, as the API asks for it. Raises IllegalMove or TooMany."""
    asked = await session.get_one(CrawlJob, job.crawl_job_id)
    await allowances.check_follower(session, asked, allowance, packing=False)
    job = await locked(session, ValidationJob, job.id)
    if job.status in {JobStatus.PENDING, JobStatus.RUNNING}:
        raise IllegalMove(f"The validation job {job.id} is {job.status}; let it go on.", current=job.status)
    return await retry(session, job.id, user_id=user_id)


async def retry(session: AsyncSession, job_id: int, *, user_id: UUID | None) -> ValidationJob:
    """Put a failed or cancelled validation back into the queue; verdicts it has written stay and count."""
    job = await locked(session, ValidationJob, job_id)
    ended = job.status not in {JobStatus.PENDING, JobStatus.RUNNING}
    if ended:
        await move(session, job, JobStatus.PENDING, user_id=user_id)
    if ended or not await queue.has_tasks(session, job.crawl_job_id):
        if not ended:
            note(session, user_id, "validation_job.requeued", job, (job.status, job.status))
        await queue.defer(session, TASK, job.crawl_job_id, validation_job_id=job.id)
    return job


async def begin(session: AsyncSession, job_id: int) -> bool:
    """Move the job to running and count its images; whether there is work to do."""
    job = await locked(session, ValidationJob, job_id)
    if job.status == JobStatus.PENDING:
        await move(session, job, JobStatus.RUNNING, user_id=None)
    if job.status != JobStatus.RUNNING:
        return False
    images = select(func.count()).select_from(Image).where(*downloaded(job.crawl_job_id))
    job.total_images = (await session.scalars(images)).one()
    return True


async def judge(
    database: Database,
    job_id: int,
    pause: Callable[[], None] = lambda: None,
    verify: Callable[[], Awaitable[None]] | None = None,
    batch: int = BATCH,
    indexes: Path | None = None,
) -> None:
    """Run the job from where it stands to its end, unless it is not to run.

    `pause` is called between two batches, of so many images each, and may raise. `verify` reads the files of what is
    valid by itself. indexes: the folder of those of near-duplicates.
    """
    finding: asyncio.Task[Copies] | None = None
    try:
        while await _begun(database, job_id):
            finding = finding or asyncio.create_task(copies(database, job_id))
            if await judge_alone(database, job_id, pause, batch):
                if verify is not None:
                    await verify()
                await judge_set(database, job_id, await finding, indexes)
                return
    finally:
        if finding is not None:
            finding.cancel()
            await asyncio.gather(finding, return_exceptions=True)


async def _begun(database: Database, job_id: int) -> bool:
    async with database.transaction() as session:
        return await begin(session, job_id)


async def judge_alone(
    database: Database, job_id: int, pause: Callable[[], None] = lambda: None, batch: int = BATCH
) -> bool:
    """Write the verdicts of the job's images, each by itself; False when the job was stopped or another worker, which
    took this one for dead, was faster with some.

    Some batches are judged at once, but committed in their order: whoever goes on after a kill finds no gap.
    """
    async with database.transaction() as session:
        job = await session.get_one(ValidationJob, job_id)
        bench = await bench_of(session, job)
        last = await session.scalar(select(func.max(Verdict.image_id)).where(Verdict.validation_job_id == job.id))
    after: int | None = last or 0
    under_way: deque[asyncio.Task[bool]] = deque()
    try:
        while after is not None:
            pause()
            if len(under_way) == _AT_ONCE and not await under_way.popleft():
                return False
            async with database.transaction() as session:
                upto = await end_of(session, bench, after, batch)
            before = under_way[-1] if under_way else None
            under_way.append(asyncio.create_task(_judge_batch(database, bench, after, upto, before)))
            after = upto
        return all([await each for each in under_way])
    finally:
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _judge_batch(
    database: Database, bench: Bench, after: int, upto: int | None, before: asyncio.Task[bool] | None
) -> bool:
    """Judge a batch, and commit it behind the one before; whether it is there by our doing."""
    async with database.transaction() as session:
        job = await session.get_one(ValidationJob, bench.validation_job_id)
        rules = Rules.parse(job.validation_rules)
        # What a crash takes is judged again: nobody waits for the disk but the end of the job.
        await session.execute(text("SET LOCAL synchronous_commit = off"))
        # Another worker's batch may be in the way. PostgreSQL does not see what waits for what in here, so it could not
        # tell that they wait for each other.
        await session.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}s'"))
        try:
            judged, valid = await judge_each(session, bench, rules, after, upto)
        except DBAPIError as error:
            if not isinstance(error.orig, UniqueViolation | LockNotAvailable):
                raise
            await session.rollback()
            return False
        await session.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
        if before is None or await before:
            job = await locked(session, ValidationJob, job.id)
            if job.status == JobStatus.RUNNING:
                job.validated_images += judged
                job.invalid_images += judged - valid
                whole = verifying.BEGINS if rules.verify_files else 100
                job.progress = min(99, whole * job.validated_images // max(1, job.total_images))
                await announce(session, job.crawl_job_id)
                return True
        await session.rollback()
        return False


async def copies(database: Database, job_id: int) -> Copies:
    """The images whose bytes another has too, if the rules ask for them: they can be found while others are judged."""
    async with database.transaction() as session:
        job = await session.get_one(ValidationJob, job_id)
        if Rules.parse(job.validation_rules).keep_duplicates:
            return [], []
        return await copies_of(session, job.crawl_job_id)


async def judge_set(database: Database, job_id: int, copies: Copies, indexes: Path | None = None) -> None:
    """What the rules say of the images together, when each is judged by itself; then the job ends.

    A rule a transaction, and none is open while hashes are compared. A job that was stopped meanwhile stays as it is.
    """
    async with database.transaction() as session:
        job = await session.get_one(ValidationJob, job_id)
        rules, bench = Rules.parse(job.validation_rules), await bench_of(session, job)
        elsewhere = await across_jobs.exact_copies(session, bench) if rules.across_jobs else None
    async with database.transaction() as session:
        job = await locked(session, ValidationJob, job_id)
        if job.status != JobStatus.RUNNING:
            return
        if elsewhere is not None:
            job.invalid_images += await across_jobs.judge_exact_copies(session, bench, elsewhere)
        if copies[0]:
            job.invalid_images += await judge_copies(session, bench, copies)
    if rules.near_duplicate_distance is not None and rules.across_jobs:
        async with database.transaction() as session:
            pictures = await near_duplicates.chosen_pictures(session, bench)
        place, distance = near_across_jobs.Place(indexes), rules.near_duplicate_distance
        elsewhere = await near_across_jobs.near_copies(database.transaction, bench, pictures, distance, place)
        async with database.transaction() as session:
            job = await locked(session, ValidationJob, job_id)
            if job.status != JobStatus.RUNNING:
                return
            job.invalid_images += await across_jobs.judge_near_copies(session, bench, elsewhere or ([], []))
    if rules.near_duplicate_distance is not None:
        async with database.transaction() as session:
            pictures = await near_duplicates.chosen_pictures(session, bench)
        worse = await near_duplicates.worse_ones(pictures, rules.near_duplicate_distance)
        async with database.transaction() as session:
            job = await locked(session, ValidationJob, job_id)
            if job.status != JobStatus.RUNNING:
                return
            job.invalid_images += await near_duplicates.mark_worse_ones(session, bench, worse)
    async with database.transaction() as session:
        job = await locked(session, ValidationJob, job_id)
        if job.status != JobStatus.RUNNING:
            return
        if rules.max_per_label is not None:
            job.invalid_images += await judge_labels(session, bench, rules.max_per_label)
        await _finish(session, job)


async def fail(session: AsyncSession, job_id: int, error: str) -> None:
    """End the job with an error."""
    job = await locked(session, ValidationJob, job_id)
    if job.status == JobStatus.RUNNING:
        await move(session, job, JobStatus.FAILED, user_id=None, error=error)


async def invalid(session: AsyncSession, job_id: int) -> dict[str, int]:
    """How many images broke each rule, most frequent first. An image counts with each of its reasons."""
    reason = func.unnest(Verdict.reasons).label("reason")
    broken = select(reason).where(Verdict.validation_job_id == job_id, ~Verdict.valid).subquery()
    rows = await session.execute(
        select(broken.c.reason, func.count()).group_by(broken.c.reason).order_by(func.count().desc(), broken.c.reason)
    )
    return {code: count for code, count in rows}  # noqa: C416 - dict() of rows is not typed


async def of_job(session: AsyncSession, crawl_job_id: int) -> Sequence[ValidationJob]:
    """All validations of a crawl job, the first of them first."""
    query = select(ValidationJob).filter_by(crawl_job_id=crawl_job_id).order_by(ValidationJob.id)
    return (await session.scalars(query)).all()


async def cancel(session: AsyncSession, job_id: int, *, user_id: UUID | None) -> ValidationJob:
    """Stop the validation; verdicts it has written stay. Raises IllegalMove when it is not pending or running."""
    job = await locked(session, ValidationJob, job_id)
    await move(session, job, JobStatus.CANCELLED, user_id=user_id)
    await queue.abort_of(session, job.crawl_job_id, TASK, validation_job_id=job.id)
    return job


async def _finish(session: AsyncSession, job: ValidationJob) -> None:
    crawl_job = await locked(session, CrawlJob, job.crawl_job_id)
    newer = exists().where(
        ValidationJob.crawl_job_id == job.crawl_job_id,
        ValidationJob.id > job.id,
        ValidationJob.status == JobStatus.COMPLETED.value,
    )
    if not await session.scalar(select(newer)):
        decided = await decisions.adjustment(session, crawl_job, job.id)
        gone = await _taken_down_since(session, job)
        crawl_job.valid_images = max(0, job.validated_images - job.invalid_images - gone + decided)
    await move(session, job, JobStatus.COMPLETED, user_id=None)
    plan = CrawlPlan.model_validate(crawl_job.options)
    if plan.export is not None and crawl_job.status == JobStatus.COMPLETED:
        await exports.create_planned(session, crawl_job, job, plan.export)


async def _taken_down_since(session: AsyncSession, job: ValidationJob) -> int:
    """How many images that this job found valid are not there any more.

    They are looked up one by one: of verdicts that are new the planner knows nothing, and would go through all images
    that were not had for each of them.
    """
    verdict = select(Verdict.valid).where(Verdict.validation_job_id == job.id, Verdict.image_id == Image.id)
    verdict = verdict.correlate(Image).offset(0).lateral()
    gone = (Image.outcome != ImageOutcome.DOWNLOADED.value, Image.reason == Reason.TAKEN_DOWN.value)
    query = select(func.count()).select_from(Image).join(verdict, verdict.c.valid)
    return (await session.scalars(query.where(Image.crawl_job_id == job.crawl_job_id, *gone))).one()
