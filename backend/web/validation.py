"""Judging a job's images by rules, and what they are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import IllegalMove, NotFound, ServiceError, TooMany
from backend.http.access import Reader, Writer
from backend.http.paging import Id
from backend.http.service import CurrentService, Session, service_of
from backend.models import CrawlJob, Image, ValidationJob
from backend.models.enums import ImageOutcome, JobStatus
from backend.schemas.plans import CrawlPlan
from backend.schemas.rules import ValidationRequest
from backend.services import copies, validation
from backend.services.access import owned, seen
from backend.services.allowances import Allowance
from backend.services.copies import Group
from backend.services.foretelling import Foretold, foretell
from backend.services.search import bounded
from backend.services.statistics import statistics
from backend.web import rules
from backend.web.charts import HEIGHT, WIDTH, Chart, charts
from backend.web.header import JobHeader, header_of
from backend.web.narrowing import codes_of
from backend.web.render import go, page
from gleanset.presets import PRESETS
from gleanset.rules import CUSTOM, Rules

router = APIRouter(prefix="/jobs/{job_id}/validation")
_SHOWN = 20
_GROUPS, _IN_A_GROUP = 8, 6
_PATIENCE = 10
"""Seconds that looking for copies may take before the page does without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`since`: the completed validation before it, where it is completed too."""

    id: int
    status: str
    progress: int
    valid: int
    judged: int
    name: str
    rules: str
    created_at: datetime
    since: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    id: int
    label: str | None
    source: str | None
    licence: str | None
    creator: str | None
    width: int | None
    height: int | None
    file_size: int
    sharpness: float | None


_TWIN = [field.name for field in fields(Twin)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationPage:
    """`would`: what the rules as they stand in the form find among the images, where they can be. `box`: of a chart.

    `broken`: the reasons that the latest validation may have given.
    `groups`: of copies, by the latest validation, from `place` on; where it knows of none `twins`, of the same bytes.
    """

    job: JobHeader
    fields: Sequence[tuple[str, Sequence[rules.RuleField]]]
    presets: Sequence[str]
    values: Mapping[str, str]
    errors: Mapping[str, str]
    would: Foretold | None
    charts: Sequence[Chart]
    box: tuple[int, int]
    judged: Sequence[Judged]
    broken: Sequence[str]
    twins: Sequence[Sequence[Twin]]
    groups: Sequence[Group]
    place: int
    next: int | None


@router.get("")
async def show_validation(
    request: Request,
    session: Session,
    actor: Reader,
    job_id: Id,
    preset: str | None = None,
    place: Annotated[int, Query(ge=0, lt=10**6)] = 0,
) -> Response:
    """The form with the rules that hold now, or with those of a preset; `place`: the first of the groups of copies."""
    job = await seen(session, actor, CrawlJob, job_id)
    latest = await session.scalar(_past(job.id).limit(1))
    held = latest.validation_rules if latest else CrawlPlan.model_validate(job.options).rules or {}
    if preset in PRESETS:
        held = Rules.parse({"preset": preset}).as_dict()
    indexes = service_of(request).settings.indexes
    context = await _page(session, indexes, await header_of(session, actor, job), rules.values_of(held), place)
    return page(request, "validation.html", context)


@router.post("")
async def judge(request: Request, service: CurrentService, session: Session, actor: Writer, job_id: Id) -> Response:
    """Judge by the form's rules; with the button `count`, only tell what they would find."""
    job = await owned(session, actor, CrawlJob, job_id)
    given = await rules.values_in(request)
    asked, errors = rules.rules_of(given)
    if asked is None or given.get("action") == "count":
        indexes = service_of(request).settings.indexes
        context = await _page(session, indexes, await header_of(session, actor, job), given)
        return page(request, "validation.html", context, 422 if errors else 200)
    wanted = ValidationRequest(crawl_job_id=job.id, validation_rules=asked)
    try:
        await validation.order(session, wanted, actor.user_id, Allowance.of(service.settings))
    except IllegalMove:
        return go(f"/jobs/{job_id}/validation", "Nothing was judged: the crawl is still under way.")
    except TooMany as error:
        return go(f"/jobs/{job_id}/validation", f"Nothing was judged: {error}")
    return go(f"/jobs/{job_id}/validation", "The images are being judged.")


@router.post("/{validation_job_id}/{action}")
async def act(
    service: CurrentService, session: Session, actor: Writer, job_id: Id, validation_job_id: Id, action: str
) -> Response:
    """Cancel it, or go on with it."""
    job = await owned(session, actor, ValidationJob, validation_job_id)
    if job.crawl_job_id != job_id or action not in {"cancel", "retry"}:
        raise NotFound("There is no such thing to be done with a validation.")
    if action == "retry":
        await validation.again(session, job, actor.user_id, Allowance.of(service.settings))
    else:
        await validation.cancel(session, validation_job_id, user_id=actor.user_id)
    return go(f"/jobs/{job_id}/validation#past", "Cancelled." if action == "cancel" else "It goes on.")


async def _page(
    session: AsyncSession,
    indexes: Path,
    header: JobHeader,
    values: Mapping[str, str],
    place: int = 0,
) -> ValidationPage:
    """Also of rules that an earlier version took: what is wrong with them stands beside them."""
    groups = await _groups(session, header.id, place)
    job = await session.get_one(CrawlJob, header.id)
    asked, errors = rules.rules_of(values)
    past = list(await session.scalars(_past(job.id).limit(_SHOWN)))
    latest = next((each.validation_rules for each in past if each.status == JobStatus.COMPLETED), None)
    return ValidationPage(
        job=header,
        fields=rules.GROUPS,
        presets=list(PRESETS),
        values=values,
        errors=errors,
        would=await foretell(session, job.id, Rules.parse(asked), indexes) if asked is not None else None,
        charts=await _charts(session, job),
        box=(WIDTH, HEIGHT),
        judged=_judged(past),
        broken=codes_of(latest),
        twins=[] if groups or place else await _twins(session, job.id),
        groups=groups[:_GROUPS],
        place=place,
        next=place + _GROUPS if len(groups) > _GROUPS else None,
    )


def _past(job_id: int) -> Select[ValidationJob]:
    return select(ValidationJob).filter_by(crawl_job_id=job_id).order_by(ValidationJob.id.desc())


async def _charts(session: AsyncSession, job: CrawlJob) -> list[Chart]:
    """None of a job without images, nor of one whose images take too long to count just now."""
    try:
        async with session.begin_nested():  # a statement that was given up ends no more than this
            return charts(await statistics(session, job)) if job.downloaded_images else []
    except ServiceError:
        return []


def _judged(past: Sequence[ValidationJob]) -> list[Judged]:
    completed = [job.id for job in past if job.status == JobStatus.COMPLETED]
    earlier = dict(pairwise(completed))
    return [
        Judged(
            id=job.id,
            status=job.status,
            progress=job.progress,
            valid=job.validated_images - job.invalid_images,
            judged=job.validated_images,
            name=job.rules_name or CUSTOM,
            rules=", ".join(f"{name} = {text}" for name, text in rules.told(job.validation_rules))
            or "no exact duplicates",
            created_at=job.created_at,
            since=earlier.get(job.id),
        )
        for job in past
    ]


async def _groups(session: AsyncSession, job_id: int, place: int) -> list[Group]:
    """One more group of copies than is shown; none when they take too long to find just now."""
    try:
        async with session.begin_nested(), bounded(session, _PATIENCE):
            job = await session.get_one(CrawlJob, job_id)
            return await copies.groups(session, job, place=place, most=_GROUPS + 1, in_each=_IN_A_GROUP)
    except ServiceError:
        return []


async def _twins(session: AsyncSession, job_id: int) -> list[list[Twin]]:
    """Groups of images with the same bytes, the largest first; none when they take too long to find just now."""
    try:
        async with session.begin_nested(), bounded(session, _PATIENCE):
            return await _found_twins(session, job_id)
    except ServiceError:
        return []


async def _found_twins(session: AsyncSession, job_id: int) -> list[list[Twin]]:
    downloaded = (Image.crawl_job_id == job_id, Image.outcome == ImageOutcome.DOWNLOADED.value)
    several = (
        select(Image.sha256)
        .where(*downloaded)
        .group_by(Image.sha256)
        .having(func.count() > 1)
        .order_by(func.count().desc(), func.min(Image.id))
        .limit(_GROUPS)
    )
    keys = (await session.scalars(several)).all()
    found = await session.scalars(
        select(Image).where(*downloaded, Image.sha256.in_(keys)).order_by(Image.id).limit(500)
    )
    groups: dict[bytes | None, list[Twin]] = {key: [] for key in keys}
    for image in found:
        groups[image.sha256].append(Twin(**{name: getattr(image, name) for name in _TWIN}))
    return [group[:_IN_A_GROUP] for group in groups.values() if group]
