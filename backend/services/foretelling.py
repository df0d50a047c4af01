"""What a validation would find, without one: nothing of it is kept."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Table,
    Text,
    false,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateTable, DropTable

from backend.models import CrawlJob, Image
from backend.services import across_jobs, near_across_jobs, near_duplicates
from backend.services.judging import Bench, breaks, copies_of, downloaded, judge_copies, judge_each, judge_labels
from gleanset.rules import CODES, EXACT_DUPLICATE, NEAR_DUPLICATE, Rules

MOST_COMPARED = 100_000
"""Pictures that are compared with each other while a person waits: some 0.5 s."""
MOST_COMPARED_ACROSS = 10_000
"""Pictures that are compared with all that earlier jobs have: some 1 s, where these have a million."""
PATIENCE = 5
"""Seconds for that, where hashes are much alike or another process is writing them down."""

_FORETOLD = Table(
    "foretold",
    MetaData(),
    Column("validation_job_id", Integer, primary_key=True),
    Column("image_id", BigInteger, primary_key=True),
    Column("valid", Boolean, nullable=False),
    Column("reasons", ARRAY(Text), nullable=False),
    Column("duplicate_of", BigInteger),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)


@dataclass(frozen=True, slots=True)
class Foretold:
    """What rules would do: how many images there are, how many would be valid, and how many each reason would refuse.

    `not_judged`: codes that only a validation tells, as that takes longer than anyone waits; `valid` may be lower yet.
    """

    total: int
    valid: int
    invalid: dict[str, int]
    not_judged: list[str] = field(default_factory=list[str])


async def foretell(session: AsyncSession, crawl_job_id: int, rules: Rules, indexes: Path | None = None) -> Foretold:
    """What a validation by these rules would find among the downloads as they are now.

    indexes: the folder of those of near-duplicates.
    """
    alone = rules.near_duplicate_distance is None and rules.max_per_label is None and not rules.across_jobs
    found = await (_counted(session, crawl_job_id, rules) if alone else _tried(session, crawl_job_id, rules, indexes))
    if rules.verify_files:
        return replace(found, not_judged=[*CODES["verify_files"], *found.not_judged])
    return found


async def _counted(session: AsyncSession, crawl_job_id: int, rules: Rules) -> Foretold:
    """In one pass, or two: which of several copies stands for all makes no difference to the numbers."""
    mine, broken = downloaded(crawl_job_id), breaks(rules)
    sound = ~func.coalesce(or_(false(), *broken.values()), false())
    counts = [func.count().filter(each) for each in broken.values()]
    total, valid, *numbers = (
        await session.execute(select(func.count(), func.count().filter(sound), *counts).select_from(Image).where(*mine))
    ).one()
    found = dict(zip(broken, numbers, strict=True))
    if not rules.keep_duplicates:
        found[EXACT_DUPLICATE], fewer = await _copies(session, crawl_job_id, sound)
        valid -= fewer
    return Foretold(total, valid, _most_frequent_first(found))


async def _copies(session: AsyncSession, crawl_job_id: int, sound: ColumnElement[bool]) -> tuple[int, int]:
    """How many images are copies of others, and how many images are valid but for that."""
    several = (
        select(func.count().label("all"), func.count().filter(sound).label("sound"))
        .where(*downloaded(crawl_job_id), Image.sha256.is_not(None))
        .group_by(Image.sha256)
        .having(func.count() > 1)
        .subquery()
    )
    more = (
        func.coalesce(func.sum(several.c.all - 1), 0),
        func.coalesce(func.sum(func.greatest(several.c.sound - 1, 0)), 0),
    )
    copies, fewer = (await session.execute(select(*more))).one()
    return int(copies), int(fewer)


async def _tried(session: AsyncSession, crawl_job_id: int, rules: Rules, indexes: Path | None) -> Foretold:
    """As a validation does it, in a table that is gone afterwards."""
    job = await session.get_one(CrawlJob, crawl_job_id)
    bench = Bench(job.project_id, crawl_job_id, 0, _FORETOLD)
    await session.execute(CreateTable(_FORETOLD))
    not_judged: list[str] = []
    total, valid = await judge_each(session, bench, rules)
    if rules.across_jobs:
        elsewhere = await across_jobs.exact_copies(session, bench)
        valid -= await across_jobs.judge_exact_copies(session, bench, elsewhere)
    if not rules.keep_duplicates:
        valid -= await judge_copies(session, bench, await copies_of(session, crawl_job_id))
    if rules.near_duplicate_distance is not None:
        fewer = await _near(session, bench, rules.near_duplicate_distance, valid, rules, indexes)
        if fewer is None:
            not_judged.append(NEAR_DUPLICATE)
        valid -= fewer or 0
    if rules.max_per_label is not None:
        valid -= await judge_labels(session, bench, rules.max_per_label)
    reason = select(func.unnest(_FORETOLD.c.reasons).label("reason")).subquery()
    rows = await session.execute(select(reason.c.reason, func.count()).group_by(reason.c.reason))
    found: dict[str, int] = {code: count for code, count in rows}  # noqa: C416 - dict() of rows is not typed
    await session.execute(DropTable(_FORETOLD))
    return Foretold(total, valid, _most_frequent_first(found), not_judged)


async def _near(
    session: AsyncSession, bench: Bench, distance: int, valid: int, rules: Rules, indexes: Path | None
) -> int | None:
    """How many fewer are valid; None when that takes too long."""
    if valid > (MOST_COMPARED_ACROSS if rules.across_jobs else MOST_COMPARED):
        return None
    pictures, fewer = await near_duplicates.chosen_pictures(session, bench), 0
    if rules.across_jobs:
        until = asyncio.get_running_loop().time() + PATIENCE
        place = near_across_jobs.Place(indexes, MOST_COMPARED, until)
        elsewhere = await near_across_jobs.near_copies(lambda: nullcontext(session), bench, pictures, distance, place)
        if elsewhere is None:
            return None
        fewer = await across_jobs.judge_near_copies(session, bench, elsewhere)
        pictures = await near_duplicates.chosen_pictures(session, bench)
    worse = await near_duplicates.worse_ones(pictures, distance)
    return fewer + await near_duplicates.mark_worse_ones(session, bench, worse)


def _most_frequent_first(found: dict[str, int]) -> dict[str, int]:
    return dict(sorted(((code, n) for code, n in found.items() if n), key=lambda item: (-item[1], item[0])))
