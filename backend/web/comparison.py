"""What changed between two validations of a job, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import NotFound
from backend.http.access import Reader
from backend.http.paging import Cursor, Id, decode_cursor, encode_cursor
from backend.http.service import Session
from backend.models import CrawlJob, Image, ValidationJob
from backend.models.enums import JobStatus
from backend.schemas.base import RowId
from backend.schemas.rules import ChangedVerdict, ComparisonResponse
from backend.services import comparing
from backend.services.access import Actor, seen
from backend.services.comparing import Change
from backend.web import rules
from backend.web.header import JobHeader, header_of
from backend.web.render import page
from gleanset.rules import CUSTOM

router = APIRouter(prefix="/jobs/{job_id}/validation/changes")
_OFFERED = 50
_ON_A_PAGE = 60

Chosen = Annotated[RowId | None, Query()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """An image, and what breaks the rules in it by each of the two; nothing does where it is valid."""

    id: int
    label: str | None
    before: Sequence[str]
    after: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two validations, the older one as `before` unless somebody wants it the other way round.

    `rules`: those that differ, as they were and as they are. `images`: of the `change` that is looked at, or of all.
    """

    before: int
    after: int
    counts: ComparisonResponse
    rules: Sequence[tuple[str, str, str]]
    change: str | None
    images: Sequence[Changed]
    next: str | None

    @property
    def query(self) -> str:
        """Which two it is, as an address has them."""
        return f"since={self.before}&validation_job_id={self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPage:
    """`offered`: validations to choose from. Without two of them there is no `comparison`."""

    job: JobHeader
    offered: Sequence[tuple[int, str]]
    comparison: Comparison | None


@router.get("")
async def show_changes(
    request: Request,
    session: Session,
    actor: Reader,
    job_id: Id,
    since: Chosen = None,
    validation_job_id: Chosen = None,
    change: Change | None = None,
    cursor: Cursor = None,
) -> Response:
    """Of the latest two, unless others are named; `change`: only images whose verdict changed so."""
    job = await seen(session, actor, CrawlJob, job_id)
    past = select(ValidationJob).filter_by(crawl_job_id=job.id, status=JobStatus.COMPLETED.value)
    judged = list(await session.scalars(past.order_by(ValidationJob.id.desc()).limit(_OFFERED)))
    after = await _named(session, actor, job, validation_job_id) or next(iter(judged), None)
    earlier = (each for each in judged if after is not None and each.id < after.id)
    before = await _named(session, actor, job, since) or next(earlier, None)
    place = decode_cursor(cursor) if cursor else 0
    named = {each.id: each for each in (*judged, before, after) if each is not None}
    context = ComparisonPage(
        job=await header_of(session, actor, job),
        offered=[
            (number, f"{number}: {each.rules_name or CUSTOM}, {each.created_at:%Y-%m-%d %H:%M}")
            for number, each in sorted(named.items(), reverse=True)
        ],
        comparison=await _compare(session, before, after, change, place) if before and after else None,
    )
    return page(request, "comparison.html", context)


async def _named(session: AsyncSession, actor: Actor, job: CrawlJob, number: int | None) -> ValidationJob | None:
    """Raises NotFound for what is no validation of the job."""
    if number is None:
        return None
    found = await seen(session, actor, ValidationJob, number)
    if found.crawl_job_id != job.id:
        raise NotFound(f"The job {job.id} has no validation {number}.")
    return found


async def _compare(
    session: AsyncSession, before: ValidationJob, after: ValidationJob, change: Change | None, place: int
) -> Comparison:
    counts = await comparing.compare(session, before, after)
    was, now = (dict(rules.told(each.validation_rules)) for each in (before, after))
    found = await comparing.changed(session, before, after, change, place, _ON_A_PAGE + 1)
    shown = found[:_ON_A_PAGE]
    return Comparison(
        before=before.id,
        after=after.id,
        counts=counts,
        rules=[(name, was.get(name, ""), now.get(name, "")) for name in counts.rules],
        change=change and change.value,
        images=await _images(session, shown),
        next=encode_cursor(shown[-1].image_id) if len(found) > _ON_A_PAGE else None,
    )


async def _images(session: AsyncSession, found: Sequence[ChangedVerdict]) -> list[Changed]:
    query = select(Image.id, Image.label).where(Image.id.in_([each.image_id for each in found]))
    labels = {row.id: row.label for row in await session.execute(query)}
    return [
        Changed(id=each.image_id, label=labels.get(each.image_id), before=each.before.reasons, after=each.after.reasons)
        for each in found
    ]
