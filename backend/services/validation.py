"""Validation jobs: every downloaded image of a crawl job judged by rules, set-based, on the measures in its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Float,
    String,
    Subquery,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend import queue
from backend.models import CrawlJob, Image, ValidationJob, Verdict
from backend.models.enums import ImageOutcome, JobStatus
from backend.schemas.plans import CrawlPlan
from backend.services import decisions, exports
from backend.services.states import announce, locked, move
from gleanset.rules import EXACT_DUPLICATE, LIMITS, Rules

TASK = "validation.run"
BATCH = 20_000
"""Images judged in one transaction: some 0.2 s, so that progress moves and a cancel is heeded."""


async def create(
    session: AsyncSession, crawl_job: CrawlJob, rules: dict[str, Any], name: str | None = None
) -> ValidationJob:
    """A pending validation with its task. Raises RuleError for rules that cannot be."""
    job = ValidationJob(
        crawl_job_id=crawl_job.id,
        name=(name or f"Validation of {crawl_job.name}")[:100],
        validation_rules=Rules.parse(rules).as_dict(),
    )
    session.add(job)
    await session.flush()
    await queue.defer(session, TASK, crawl_job.id, validation_job_id=job.id)
    return job


async def retry(session: AsyncSession, job_id: int, *, user_id: UUID | None = None) -> ValidationJob:
    """Put a failed or cancelled validation back into the queue; verdicts it has written stay and count."""
    job = await locked(session, ValidationJob, job_id)
    ended = job.status not in {JobStatus.PENDING, JobStatus.RUNNING}
    if ended:
        await move(session, job, JobStatus.PENDING, user_id=user_id)
    if ended or not await queue.has_tasks(session, job.crawl_job_id):
        await queue.defer(session, TASK, job.crawl_job_id, validation_job_id=job.id)
    return job


async def begin(session: AsyncSession, job_id: int) -> bool:
    """Move the job to running and count its images; whether there is work to do."""
    job = await locked(session, ValidationJob, job_id)
    if job.status == JobStatus.PENDING:
        await move(session, job, JobStatus.RUNNING)
    if job.status != JobStatus.RUNNING:
        return False
    downloaded = select(func.count()).select_from(Image).where(*_downloaded(job.crawl_job_id))
    job.total_images = (await session.scalars(downloaded)).one()
    return True


async def judge_batch(session: AsyncSession, job_id: int) -> bool:
    """Write the verdicts of the next images, or end the job behind the last; whether there is more to do."""
    job = await locked(session, ValidationJob, job_id)
    if job.status != JobStatus.RUNNING:
        return False
    after = select(func.coalesce(func.max(Verdict.image_id), 0)).where(Verdict.validation_job_id == job.id)
    batch = (
        select(Image.id)
        .where(*_downloaded(job.crawl_job_id), Image.id > after.scalar_subquery())
        .order_by(Image.id)
        .limit(BATCH)
        .subquery()
    )
    reasons = func.array_remove(array(_broken(Rules.parse(job.validation_rules))), None)
    judged = select(Image.id, reasons.label("reasons")).join(batch, batch.c.id == Image.id).subquery()
    verdicts = insert(Verdict).from_select(
        ["validation_job_id", "image_id", "valid", "reasons"],
        select(literal(job.id), judged.c.id, func.cardinality(judged.c.reasons) == 0, judged.c.reasons),
    )
    written = (await session.execute(verdicts.returning(Verdict.valid))).scalars().all()
    if not written:
        await _finish(session, job)
        return False
    job.validated_images += len(written)
    job.invalid_images += written.count(False)
    job.progress = min(99, 100 * job.validated_images // max(1, job.total_images))
    await announce(session, job.crawl_job_id)
    return True


async def fail(session: AsyncSession, job_id: int, error: str) -> None:
    """End the job with an error."""
    job = await locked(session, ValidationJob, job_id)
    if job.status == JobStatus.RUNNING:
        await move(session, job, JobStatus.FAILED, error=error)


async def invalid(session: AsyncSession, job_id: int) -> dict[str, int]:
    """How many images broke each rule, most frequent first. An image counts with each of its reasons."""
    reason = func.unnest(Verdict.reasons).label("reason")
    broken = select(reason).where(Verdict.validation_job_id == job_id, ~Verdict.valid).subquery()
    rows = await session.execute(
        select(broken.c.reason, func.count()).group_by(broken.c.reason).order_by(func.count().desc(), broken.c.reason)
    )
    return {code: count for code, count in rows}  # noqa: C416 - dict() of rows is not typed


async def cancel(session: AsyncSession, job_id: int, *, user_id: UUID | None = None) -> ValidationJob:
    """Stop the validation; verdicts it has written stay. Raises IllegalMove when it is not pending or running."""
    job = await locked(session, ValidationJob, job_id)
    await move(session, job, JobStatus.CANCELLED, user_id=user_id)
    await queue.abort_of(session, job.crawl_job_id, TASK, validation_job_id=job.id)
    return job


@dataclass(frozen=True, slots=True)
class Foretold:
    """What rules would do: how many images there are, how many would be valid, and how many each rule would refuse."""

    total: int
    valid: int
    invalid: dict[str, int]


async def foretell(session: AsyncSession, crawl_job_id: int, rules: Rules) -> Foretold:
    """What a validation by these rules would find among the downloads as they are now; writes nothing."""
    again = _bytes_again(crawl_job_id)
    breaks = _breaks(rules, Image.id > again.c.first)
    unbroken = ~func.coalesce(or_(false(), *breaks.values()), false())
    counts = [func.count().filter(broken) for broken in breaks.values()]
    query = select(func.count(), func.count().filter(unbroken), *counts).where(*_downloaded(crawl_job_id))
    if not rules.keep_duplicates:
        query = query.outerjoin_from(Image, again, again.c.sha256 == Image.sha256)
    total, valid, *broken = (await session.execute(query)).one()
    found = {code: count for code, count in zip(breaks, broken, strict=True) if count}
    return Foretold(total, valid, dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))))


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
    await move(session, job, JobStatus.COMPLETED)
    plan = CrawlPlan.model_validate(crawl_job.options)
    if plan.export is not None and crawl_job.status == JobStatus.COMPLETED:
        await exports.create_planned(session, crawl_job, job, plan.export)


async def _taken_down_since(session: AsyncSession, job: ValidationJob) -> int:
    """How many images that this job found valid are not there any more."""
    gone = (Image.crawl_job_id == job.crawl_job_id, Image.outcome != ImageOutcome.DOWNLOADED.value)
    query = select(func.count()).select_from(Verdict).join(Image, Image.id == Verdict.image_id)
    return (await session.scalars(query.where(Verdict.validation_job_id == job.id, Verdict.valid, *gone))).one()


def _downloaded(crawl_job_id: int) -> tuple[ColumnElement[bool], ...]:
    return Image.crawl_job_id == crawl_job_id, Image.outcome == ImageOutcome.DOWNLOADED.value


def _broken(rules: Rules) -> list[ColumnElement[str | None]]:
    """For each rule that asks something: its reason code where the image breaks it, else null."""
    twin = _has_earlier_twin()
    codes: list[ColumnElement[str | None]] = [
        case((breaks, literal(code))) for code, breaks in _breaks(rules, twin).items()
    ]
    return codes or [cast(literal(None), String)]


def _breaks(rules: Rules, twin: ColumnElement[bool]) -> dict[str, ColumnElement[bool]]:
    """For each rule that asks something, by its reason code: whether the image breaks it; null if not measured."""
    measures: dict[str, ColumnElement[Any]] = {
        "width": Image.width.expression,
        "height": Image.height.expression,
        "file_size": Image.file_size.expression,
        "aspect_ratio": cast(Image.width, Float) / func.nullif(Image.height, 0),
        "sharpness": Image.sharpness.expression,
        "contrast": Image.contrast.expression,
        "brightness": Image.brightness.expression,
    }
    breaks: dict[str, ColumnElement[bool]] = {}
    for limit in LIMITS:
        value: float | None = getattr(rules, limit.rule)
        if value is not None:
            measure = measures[limit.measure]
            breaks[limit.rule] = measure < value if limit.bound == "min" else measure > value
    if rules.formats is not None:
        breaks["formats"] = Image.format.not_in(rules.formats)
    if not rules.keep_duplicates:
        breaks[EXACT_DUPLICATE] = twin
    return breaks


def _has_earlier_twin() -> ColumnElement[bool]:
    twin = aliased(Image)
    return exists().where(
        and_(twin.sha256 == Image.sha256, twin.crawl_job_id == Image.crawl_job_id, twin.id < Image.id)
    )


def _bytes_again(crawl_job_id: int) -> Subquery:
    """The hashes that several images have, and the first of these. For a whole job at once: a question for the twins of
    each image, as batches ask it, takes three times as long."""
    return (
        select(Image.sha256, func.min(Image.id).label("first"))
        .where(Image.crawl_job_id == crawl_job_id, Image.sha256.is_not(None))
        .group_by(Image.sha256)
        .having(func.count() > 1)
        .subquery()
    )
