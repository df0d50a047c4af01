"""Which version of a dataset an export is: the jobs, rules and decisions that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, Decision, ExportJob, ValidationJob
from backend.schemas.exports import StoredOptions
from backend.schemas.plans import CrawlPlan
from gleanset.export.base import Origin, Splitting

_OF_THE_PLACE = {"out", "container", "planned", "validation_job_id"}
"""Options that do not change what the dataset is, or are told already; one is a path of this machine."""


async def origin(
    session: AsyncSession, crawl_job: CrawlJob, validated: ValidationJob | None, options: Mapping[str, Any]
) -> Origin:
    """What an export with these options comes from, as it stands now. The number of the export itself is left out:
    packed again, the same dataset is the same to the byte."""
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
        options={name: value for name, value in options.items() if name not in _OF_THE_PLACE},
    )


async def splitting(session: AsyncSession, job: ExportJob) -> Splitting | None:
    """How the export's images were divided, once they are."""
    split = StoredOptions.model_validate(job.export_options).split
    if split is None:
        return None
    now = await session.get_one(ExportJob, job.id)
    return Splitting(kept_together=tuple(split.related), left_out=now.left_out_images, moved=now.moved_images)


async def _digest(session: AsyncSession, project_id: int) -> str:
    """The SHA-256, in hex, of each picture's SHA-256 and the choice about it, in their order."""
    told = Decision.sha256.op("||")(func.convert_to(Decision.choice, "UTF8"))
    whole = func.string_agg(told, aggregate_order_by(func.convert_to("", "UTF8"), Decision.sha256))
    query = select(func.encode(func.sha256(whole), "hex")).where(Decision.project_id == project_id)
    return str((await session.scalars(query)).one())
