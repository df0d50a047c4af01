"""Which version of a dataset an export is: the jobs, rules and decisions that it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, Decision, ExportJob, ExportSplit, Image, ValidationJob
from backend.models.enums import Choice, ImageOutcome
from backend.schemas.exports import StoredOptions
from backend.schemas.plans import CrawlPlan
from gleanset.export.base import Origin, Splitting

_OF_THE_PLACE = {"out", "container", "planned", "validation_job_id"}
"""Options that do not change what the dataset is, or are told already; one is a path of this machine."""
_NUMBERS_OF_EXPORTS = {"follow", "export_job_id"}
"""Within them. `latest` is the export before when the same is packed again, and was none the first time."""


async def origin(
    session: AsyncSession, crawl_job: CrawlJob, validated: ValidationJob | None, options: Mapping[str, Any]
) -> Origin:
    """What an export with these options comes from, as it stands now. Numbers of exports, of this one and of those
    whose splits it keeps, are left out: packed again, the same dataset is the same to the byte."""
    choices = select(Decision.choice, func.count()).where(Decision.project_id == crawl_job.project_id)
    counts = {choice: count for choice, count in await session.execute(choices.group_by(Decision.choice))}  # noqa: C416
    return Origin(
        crawl_job=crawl_job.id,
        refresh_of=CrawlPlan.model_validate(crawl_job.options).refresh_of,
        validation_job=validated.id if validated else None,
        rules_name=validated.rules_name if validated else None,
        rules_hash=validated.rules_hash.hex() if validated and validated.rules_hash else None,
        decisions=dict(sorted(counts.items())),
        decisions_sha256=await _digest(session, crawl_job.project_id) if counts else None,
        options={name: _lasting(value) for name, value in options.items() if name not in _OF_THE_PLACE},
    )


def _lasting(option: Any) -> Any:
    """An option without the numbers of exports; `splitting` has the hashes of what they stand for."""
    if not isinstance(option, dict):
        return option
    parts = cast("dict[str, Any]", option)
    return {name: _lasting(value) for name, value in parts.items() if name not in _NUMBERS_OF_EXPORTS}


async def left_out(session: AsyncSession, crawl_job: CrawlJob) -> int:
    """How many images of the job people rejected."""
    rejected = select(Decision.sha256).where(
        Decision.project_id == crawl_job.project_id, Decision.choice == Choice.REJECT.value
    )
    query = select(func.count()).select_from(Image).where(
        Image.crawl_job_id == crawl_job.id,
        Image.outcome == ImageOutcome.DOWNLOADED.value,
        Image.sha256.in_(rejected),
    )  # fmt: skip
    return (await session.scalars(query)).one()


async def splitting(session: AsyncSession, job: ExportJob) -> Splitting | None:
    """How the export's images were divided, once they are."""
    split = StoredOptions.model_validate(job.export_options).split
    if split is None:
        return None
    now = await session.get_one(ExportJob, job.id)
    fixed = split.fixed_test
    given = None
    if fixed is not None and fixed.export_job_id is not None:
        kept = await _hashes(session, fixed.export_job_id, given=fixed.export_job_id == job.id)
        given = kept.get(fixed.name)
    made = await _hashes(session, job.id, given=False)
    told = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(made.items()))
    return Splitting(
        kept_together=tuple(split.related),
        left_out=now.left_out_images,
        moved=now.moved_images,
        sha256=hashlib.sha256(told.encode()).hexdigest(),
        fixed_sha256=given,
    )


async def _hashes(session: AsyncSession, export_job_id: int, *, given: bool) -> dict[str, str]:
    """The SHA-256, in hex, of the hashes of all images of each split."""
    query = select(ExportSplit.name, func.encode(func.sha256(ExportSplit.hashes), "hex"))
    query = query.where(ExportSplit.export_job_id == export_job_id, ExportSplit.given == given)
    return dict((await session.execute(query)).tuples().all())


async def _digest(session: AsyncSession, project_id: int) -> str:
    """The SHA-256, in hex, of each picture's SHA-256 and the choice about it, in their order."""
    told = Decision.sha256.op("||")(func.convert_to(Decision.choice, "UTF8"))
    whole = func.string_agg(told, aggregate_order_by(func.convert_to("", "UTF8"), Decision.sha256))
    query = select(func.encode(func.sha256(whole), "hex")).where(Decision.project_id == project_id)
    return str((await session.scalars(query)).one())
