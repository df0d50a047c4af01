"""Validation jobs: every image of a crawl job judged by rules."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.http.access import Reader, Writer
from backend.http.idempotency import RequestKey
from backend.http.paging import Cursor, Id, Limit, Page, decode_cursor, encode_cursor, paged
from backend.http.service import CurrentService, Session
from backend.models import CrawlJob, ValidationJob, Verdict
from backend.models.enums import JobStatus
from backend.schemas.base import RowId
from backend.schemas.jobs import ValidationJobResponse, ValidationSummary, VerdictResponse
from backend.schemas.rules import ChangedVerdict, ComparisonResponse, ValidationRequest
from backend.services import comparing, validation
from backend.services.access import Actor, owned, seen, visible, within
from backend.services.allowances import Allowance
from backend.services.comparing import Change
from backend.services.idempotency import once

router = APIRouter(tags=["validation jobs"])
Since = Annotated[RowId, Query(description="The validation to compare with, as the one before.")]


@router.get("/validation-jobs")
async def list_validation_jobs(
    session: Session,
    actor: Reader,
    crawl_job_id: Annotated[RowId | None, Query(description="Only those of this crawl job.")] = None,
    status: Annotated[JobStatus | None, Query(description="Only those in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ValidationJobResponse]:
    """All that you may see, the newest first. The latest completed one of a crawl job decides what is valid."""
    query = within(select(ValidationJob), ValidationJob, visible(actor))
    if crawl_job_id is not None:
        query = query.where(ValidationJob.crawl_job_id == crawl_job_id)
    if status is not None:
        query = query.where(ValidationJob.status == status.value)
    return await paged(session, query, ValidationJob.id, cursor, limit)


@router.post("/validation-jobs", status_code=201)
async def create_validation_job(
    service: CurrentService, session: Session, actor: Writer, body: ValidationRequest, key: RequestKey = None
) -> ValidationJobResponse:
    """Judge all images of a crawl job that has ended, by these rules. Nothing is fetched or decoded for it."""
    await owned(session, actor, CrawlJob, body.crawl_job_id)

    async def make() -> ValidationJob:
        return await validation.order(session, body, actor.user_id, Allowance.of(service.settings))

    return ValidationJobResponse.model_validate(await once(session, actor, key, body, ValidationJob, make))


@router.get("/validation-jobs/{validation_job_id}")
async def show_validation_job(session: Session, actor: Reader, validation_job_id: Id) -> ValidationJobResponse:
    """One validation and its counters."""
    return ValidationJobResponse.model_validate(await seen(session, actor, ValidationJob, validation_job_id))


@router.post("/validation-jobs/{validation_job_id}/cancel")
async def cancel_validation_job(session: Session, actor: Writer, validation_job_id: Id) -> ValidationJobResponse:
    """Stop it. Verdicts that are written stay, and retry goes on behind them."""
    await owned(session, actor, ValidationJob, validation_job_id)
    return ValidationJobResponse.model_validate(
        await validation.cancel(session, validation_job_id, user_id=actor.user_id)
    )


@router.post("/validation-jobs/{validation_job_id}/retry", status_code=202)
async def retry_validation_job(
    service: CurrentService, session: Session, actor: Writer, validation_job_id: Id
) -> ValidationJobResponse:
    """Go on with a failed or cancelled validation."""
    job = await owned(session, actor, ValidationJob, validation_job_id)
    job = await validation.again(session, job, actor.user_id, Allowance.of(service.settings))
    return ValidationJobResponse.model_validate(job)


@router.get("/validation-jobs/{validation_job_id}/verdicts")
async def list_verdicts(
    session: Session,
    actor: Reader,
    validation_job_id: Id,
    valid: Annotated[bool | None, Query(description="Only valid images, or only those that are not.")] = None,
    reason: Annotated[str | None, Query(max_length=50, description="Only images that break this rule.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[VerdictResponse]:
    """What was found about each image, in the order of the images."""
    await seen(session, actor, ValidationJob, validation_job_id)
    query = select(Verdict).where(Verdict.validation_job_id == validation_job_id)
    if valid is not None:
        query = query.where(Verdict.valid if valid else ~Verdict.valid)
    if reason is not None:
        query = query.where(~Verdict.valid, Verdict.reasons.contains([reason.replace("\0", "")]))
    return await paged(session, query, Verdict.image_id, cursor, limit, newest_first=False)


@router.get("/validation-jobs/{validation_job_id}/summary")
async def summarize(session: Session, actor: Reader, validation_job_id: Id) -> ValidationSummary:
    """How many images broke each rule, of those judged so far."""
    job = await seen(session, actor, ValidationJob, validation_job_id)
    return ValidationSummary(
        total=job.validated_images,
        valid=job.validated_images - job.invalid_images,
        invalid=await validation.invalid(session, validation_job_id),
    )


@router.get("/validation-jobs/{validation_job_id}/changes")
async def compare_validations(
    session: Session, actor: Reader, validation_job_id: Id, since: Since
) -> ComparisonResponse:
    """How its verdicts differ from those of another validation of the same crawl job, and why."""
    before, after = await _both(session, actor, since, validation_job_id)
    return await comparing.compare(session, before, after)


@router.get("/validation-jobs/{validation_job_id}/changes/images")
async def list_changed_verdicts(
    session: Session,
    actor: Reader,
    validation_job_id: Id,
    since: Since,
    change: Annotated[Change | None, Query(description="Only those that changed so.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[ChangedVerdict]:
    """The images about which the two do not say the same, in the order of the images."""
    before, after = await _both(session, actor, since, validation_job_id)
    place = decode_cursor(cursor) if cursor is not None else 0
    found = await comparing.changed(session, before, after, change, place, limit + 1)
    shown = found[:limit]
    return Page(items=shown, next=encode_cursor(shown[-1].image_id) if len(found) > limit else None)


async def _both(session: AsyncSession, actor: Actor, before: int, after: int) -> tuple[ValidationJob, ValidationJob]:
    return await seen(session, actor, ValidationJob, before), await seen(session, actor, ValidationJob, after)
