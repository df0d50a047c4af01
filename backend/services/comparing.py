"""What changed between two validations of the same crawl job, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import BadInput
from backend.models import ValidationJob
from backend.schemas.jobs import VerdictResponse
from backend.schemas.rules import ChangedVerdict, ComparisonResponse, RuleChange
from backend.services.search import bounded

_SECONDS = 20


class Change(StrEnum):
    """How the verdict about an image changed."""

    BECAME_VALID = "became_valid"
    BECAME_INVALID = "became_invalid"
    OTHER_REASONS = "other_reasons"


# Both sides come in the order of the images from the primary key, so they are merged as they are read.
_BOTH = """
    SELECT coalesce(before.image_id, after.image_id) AS image_id, before.valid AS was, after.valid AS is_now,
        before.reasons AS had, after.reasons AS has,
        CASE
            WHEN before.image_id IS NULL THEN 'only_after'
            WHEN after.image_id IS NULL THEN 'only_before'
            WHEN after.valid AND NOT before.valid THEN 'became_valid'
            WHEN before.valid AND NOT after.valid THEN 'became_invalid'
            WHEN before.reasons <> after.reasons
                AND NOT (before.reasons @> after.reasons AND before.reasons <@ after.reasons) THEN 'other_reasons'
            ELSE 'same'
        END AS change
    FROM (SELECT * FROM verdicts WHERE validation_job_id = :before AND image_id > :place ORDER BY image_id) AS before
    {} JOIN (SELECT * FROM verdicts WHERE validation_job_id = :after AND image_id > :place ORDER BY image_id) AS after
        USING (image_id)
"""
_COUNTED = f"""
    WITH compared AS MATERIALIZED ({_BOTH.format("FULL")}),
    why AS (
        SELECT change, unnest(CASE change WHEN 'became_valid' THEN had ELSE has END) AS reason FROM compared
        WHERE change IN ('became_valid', 'became_invalid')
    )
    SELECT change, NULL AS reason, count(*) AS images FROM compared GROUP BY change
    UNION ALL
    SELECT change, reason, count(*) FROM why GROUP BY change, reason
    ORDER BY images DESC, reason
"""  # noqa: S608 - made of constants
_CHANGED = f"""
    SELECT * FROM ({_BOTH.format("INNER")}) AS compared WHERE change = ANY (:changes) ORDER BY image_id LIMIT :most
"""  # noqa: S608 - made of constants


async def compare(session: AsyncSession, before: ValidationJob, after: ValidationJob) -> ComparisonResponse:
    """Counts. Raises BadInput for validations of different jobs, and TookTooLong."""
    _check_same_job(before, after)
    rows = await _found(session, _COUNTED, before, after, place=0)
    counts: dict[str, int] = {row.change: row.images for row in rows if row.reason is None}
    why: dict[str, dict[str, int]] = {Change.BECAME_VALID: {}, Change.BECAME_INVALID: {}}
    for row in rows:
        if row.reason is not None:
            why[row.change][row.reason] = row.images
    names = ("same", *Change, "only_before", "only_after")
    return ComparisonResponse(
        rules=_differing(before.validation_rules, after.validation_rules),
        **{name: counts.get(name, 0) for name in names},
        became_valid_by=why[Change.BECAME_VALID],
        became_invalid_by=why[Change.BECAME_INVALID],
    )


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, RuleChange]:
    both = {name: RuleChange(before=before.get(name), after=after.get(name)) for name in (*after, *before)}
    return {name: rule for name, rule in both.items() if rule.before != rule.after}


async def changed(
    session: AsyncSession, before: ValidationJob, after: ValidationJob, change: Change | None, place: int, most: int
) -> list[ChangedVerdict]:
    """The images behind `place` whose verdicts changed, at most so many. Raises BadInput and TookTooLong."""
    _check_same_job(before, after)
    changes = [change.value] if change else [each.value for each in Change]
    rows = await _found(session, _CHANGED, before, after, place=place, changes=changes, most=most)
    return [
        ChangedVerdict(
            image_id=row.image_id,
            before=VerdictResponse(image_id=row.image_id, valid=row.was, reasons=row.had),
            after=VerdictResponse(image_id=row.image_id, valid=row.is_now, reasons=row.has),
        )
        for row in rows
    ]


async def _found(
    session: AsyncSession, query: str, before: ValidationJob, after: ValidationJob, **values: Any
) -> Sequence[Row[Any]]:
    async with bounded(session, _SECONDS):
        return (await session.execute(text(query), {"before": before.id, "after": after.id} | values)).all()


def _check_same_job(before: ValidationJob, after: ValidationJob) -> None:
    if before.crawl_job_id != after.crawl_job_id:
        raise BadInput(
            f"Validation {before.id} judged crawl job {before.crawl_job_id}, validation {after.id} judged"
            f" {after.crawl_job_id}: they have no images in common."
        )
