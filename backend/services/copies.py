"""Groups of copies in a job, exact and near, as its latest validation found them; and the choice of one for all.

What stands for a group may be an image of an earlier job of the project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import BadInput
from backend.models import CrawlJob, Project
from backend.models.enums import Choice
from backend.services import decisions

MOST_REJECTED = 1000
"""Copies that one choice rejects; any more are refused by the validation anyway."""

_LATEST = "SELECT max(id) FROM validation_jobs WHERE crawl_job_id = :job AND status = 'completed'"

_GROUPS = f"""
    WITH latest AS MATERIALIZED ({_LATEST}), largest AS MATERIALIZED (
        SELECT duplicate_of AS original, count(*) + 1 AS size FROM verdicts
        WHERE validation_job_id = (SELECT max FROM latest) AND duplicate_of IS NOT NULL
        GROUP BY duplicate_of ORDER BY count(*) DESC, duplicate_of OFFSET :place LIMIT :groups
    )
    SELECT original, size, i.id, i.crawl_job_id, i.label, i.source, i.licence, i.creator, i.width, i.height,
        i.file_size, i.sharpness, d.choice
    FROM largest CROSS JOIN LATERAL (
        SELECT original AS id UNION ALL (
            SELECT image_id FROM verdicts
            WHERE validation_job_id = (SELECT max FROM latest) AND duplicate_of = original ORDER BY image_id LIMIT :most
        )
    ) AS member
    JOIN images AS i ON i.id = member.id AND i.outcome = 'downloaded'
    LEFT JOIN decisions AS d ON d.project_id = :project AND d.sha256 = i.sha256
    ORDER BY size DESC, original, i.id <> original, i.id
"""  # noqa: S608 - made of constants

_MEMBERS = f"""
    SELECT i.id, i.sha256 FROM (
        SELECT CAST(:original AS bigint) AS id, 0 AS place UNION ALL
        SELECT image_id, 1 FROM verdicts WHERE validation_job_id = ({_LATEST}) AND duplicate_of = :original
    ) AS member
    JOIN images AS i ON i.id = member.id AND i.outcome = 'downloaded'
    JOIN crawl_jobs AS j ON j.id = i.crawl_job_id AND j.project_id = :project
    ORDER BY member.id = :kept DESC, place, i.id LIMIT :most
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One image of a group; `choice` is what a person decided about it."""

    id: int
    crawl_job_id: int
    label: str | None
    source: str | None
    licence: str | None
    creator: str | None
    width: int | None
    height: int | None
    file_size: int
    sharpness: float | None
    choice: str | None


_COPY = [field.name for field in fields(Copy)]


@dataclass(frozen=True, slots=True)
class Group:
    """Some copies, that which stands for all before the others; `size`: how many there are in all."""

    original: int
    size: int
    copies: Sequence[Copy]


async def groups(session: AsyncSession, job: CrawlJob, *, place: int, most: int, in_each: int) -> list[Group]:
    """The groups behind so many, the largest first, each with so many of its images."""
    asked = {"job": job.id, "project": job.project_id, "place": place, "groups": most, "most": in_each - 1}
    found: dict[tuple[int, int], list[Copy]] = {}
    for original, size, *copy in (await session.execute(text(_GROUPS), asked)).all():
        found.setdefault((original, size), []).append(Copy(**dict(zip(_COPY, copy, strict=True))))
    return [Group(original, size, copies) for (original, size), copies in found.items()]


async def keep_one(session: AsyncSession, job: CrawlJob, original: int, kept: int, *, user_id: UUID) -> int:
    """Keep one image of a group and reject its pictures of other bytes; how many pictures were rejected.

    Raises BadInput when the image is not in the group, as may be after another validation.
    """
    asked = {"job": job.id, "project": job.project_id, "original": original, "kept": kept, "most": MOST_REJECTED + 1}
    members = (await session.execute(text(_MEMBERS), asked)).all()
    if len(members) < 2 or members[0].id != kept:
        raise BadInput("These copies are no group any more: load the page again.")
    project = await session.get_one(Project, job.project_id)
    others = [member.id for member in members if member.sha256 != members[0].sha256]
    why = f"The best of {len(members)} copies"
    if others:
        await decisions.decide(session, project, others, Choice.REJECT, why=f"Image {kept} is kept", user_id=user_id)
    await decisions.decide(session, project, [kept], Choice.KEEP, why=why, user_id=user_id)
    return len({member.sha256 for member in members}) - 1
