"""Rules as SQL: what each image breaks by itself, and what it breaks beside the other images of its job.

Verdicts are written in two steps. The first judges every image by itself. The second are the rules about the set,
one after another, each among the images that are valid until then: were the best of several copies too small, the
others would else be refused for its sake. Each such rule may be judged again and finds the same, so a validation that
was interrupted goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Table,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, Image, ValidationJob, Verdict
from backend.models.enums import ImageOutcome
from gleanset.rules import EXACT_DUPLICATE, GREYSCALE, LIMITS, MAX_PER_LABEL, NEED_NO_CREDIT, Limit, Rules
from gleanset.sources.licence import UNKNOWN


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the verdicts about a crawl job's images are: those of a validation in `verdicts`, or another table that
    has its columns."""

    project_id: int
    crawl_job_id: int
    validation_job_id: int
    table: Table = Verdict.__table__  # pyright: ignore[reportAssignmentType]


async def bench_of(session: AsyncSession, job: ValidationJob) -> Bench:
    """That of a validation."""
    crawl_job = await session.get_one(CrawlJob, job.crawl_job_id)
    return Bench(crawl_job.project_id, crawl_job.id, job.id)


def downloaded(crawl_job_id: int) -> tuple[ColumnElement[bool], ...]:
    """The images that a job has."""
    return Image.crawl_job_id == crawl_job_id, Image.outcome == ImageOutcome.DOWNLOADED.value


def breaks(rules: Rules) -> dict[str, ColumnElement[bool]]:
    """For each rule about single images that asks something: whether the image breaks it; null if not measured."""
    measures = _measures()
    return {limit.rule: _breaks(rules, limit, measures[limit.measure]) for limit in LIMITS if rules.asks(limit)}


async def end_of(session: AsyncSession, bench: Bench, after: int, most: int) -> int | None:
    """The id up to which there are so many images behind `after`; None where there are fewer."""
    images = select(Image.id).where(*downloaded(bench.crawl_job_id), Image.id > after).order_by(Image.id)
    return await session.scalar(images.offset(most - 1).limit(1))


async def judge_each(
    session: AsyncSession, bench: Bench, rules: Rules, after: int = 0, upto: int | None = None
) -> tuple[int, int]:
    """Write the verdicts of the job's images behind `after`, up to `upto`; how many, and how many are valid."""
    broken = breaks(rules)
    codes = [case((breaking, literal(code))) for code, breaking in broken.items()]
    none = cast(array([]), ARRAY(Text))
    # The list is put together only for an image that has one.
    reasons = case((or_(false(), *broken.values()), func.array_remove(array(codes), None)), else_=none)
    batch = (Image.id > after, true() if upto is None else Image.id <= upto)
    images = select(Image.id, (reasons if codes else none).label("reasons"))
    images = images.where(*downloaded(bench.crawl_job_id), *batch).order_by(Image.id).offset(0).subquery()
    verdicts = bench.table.c
    row = (literal(bench.validation_job_id), images.c.id, func.cardinality(images.c.reasons) == 0, images.c.reasons)
    columns = (verdicts.validation_job_id, verdicts.image_id, verdicts.valid, verdicts.reasons)
    await session.execute(insert(bench.table).from_select(columns, select(*row)))
    mine = (
        verdicts.validation_job_id == bench.validation_job_id,
        verdicts.image_id > after,
        true() if upto is None else verdicts.image_id <= upto,
    )
    total, valid = (await session.execute(select(func.count(), func.count().filter(verdicts.valid)).where(*mine))).one()
    return total, valid


Copies = tuple[list[int], list[int]]
"""The ids of images with bytes that several have, and of the first with the same."""


async def copies_of(session: AsyncSession, crawl_job_id: int) -> Copies:
    """The images of a job whose bytes another has too."""
    await session.execute(text(f"SET LOCAL work_mem = '{_WORK_MEMORY}'"))
    query = """
        SELECT array_agg(id ORDER BY id), array_agg(first ORDER BY id) FROM (
            SELECT sha256, min(id) AS first FROM images
            WHERE crawl_job_id = :crawl_job AND outcome = 'downloaded' AND sha256 IS NOT NULL
            GROUP BY sha256 HAVING count(*) > 1
        ) AS several
        CROSS JOIN LATERAL (
            SELECT id FROM images WHERE images.sha256 = several.sha256 AND crawl_job_id = :crawl_job OFFSET 0
        ) AS image
    """
    ids, firsts = (await session.execute(text(query), {"crawl_job": crawl_job_id})).one()
    return ids or [], firsts or []


async def judge_copies(session: AsyncSession, bench: Bench, copies: Copies) -> int:
    """Of the same bytes all but one image are exact duplicates: one that is valid, or else the first, stands for all.

    How many images were valid until then.
    """
    return await mark(
        session,
        bench,
        EXACT_DUPLICATE,
        """
        SELECT id, original FROM (
            SELECT copy.id, row_number() OVER best AS place, first_value(copy.id) OVER best AS original
            FROM unnest(CAST(:ids AS bigint[]), CAST(:firsts AS bigint[])) AS copy (id, first)
            CROSS JOIN LATERAL (
                SELECT valid, reasons FROM {verdicts}
                WHERE validation_job_id = :validation_job AND image_id = copy.id OFFSET 0
            ) AS verdict
            WINDOW best AS (
                PARTITION BY copy.first ORDER BY valid DESC, CAST(:code AS text) = ANY (reasons), copy.id
            )
        ) AS ranked
        WHERE place > 1
        """,
        ids=copies[0],
        firsts=copies[1],
    )


async def judge_labels(session: AsyncSession, bench: Bench, most: int) -> int:
    """Of each label the first so many images stay, those that a person keeps before all others, whatever they break;
    whom a person has rejected takes nobody's place. How many images were valid until then."""
    return await mark(
        session,
        bench,
        MAX_PER_LABEL,
        """
        SELECT id, CAST(NULL AS bigint) AS original FROM (
            SELECT i.id, v.valid, row_number() OVER (PARTITION BY i.label ORDER BY d.choice NULLS LAST, i.id) AS place
            FROM {verdicts} AS v JOIN images AS i ON i.id = v.image_id
            LEFT JOIN decisions AS d ON d.project_id = :project AND d.sha256 = i.sha256
            WHERE v.validation_job_id = :validation_job
                AND (d.choice = 'keep' OR v.valid AND d.choice IS DISTINCT FROM 'reject')
        ) AS ranked
        WHERE place > :most AND valid
        """,
        most=most,
    )


async def mark(session: AsyncSession, bench: Bench, code: str, images: str, **values: Any) -> int:
    """Give a reason to images; how many of them were valid until then.

    `images`: SQL that gives their `id`s, each once, and the `original` that stands for each, or null; its parameters
    are :project, :crawl_job, :validation_job, :code and `values`, {verdicts} is the table.
    """
    marked = f"""
        WITH broken AS MATERIALIZED ({images}), before AS MATERIALIZED (
            SELECT found.place, found.valid, broken.original
            FROM broken CROSS JOIN LATERAL (
                SELECT ctid AS place, valid, reasons FROM {{verdicts}}
                WHERE validation_job_id = :validation_job AND image_id = broken.id OFFSET 0
            ) AS found
            WHERE NOT CAST(:code AS text) = ANY (found.reasons)
        ), marked AS (
            UPDATE {{verdicts}} AS now SET valid = false, reasons = now.reasons || CAST(:code AS text),
                duplicate_of = coalesce(before.original, now.duplicate_of)
            FROM before WHERE now.ctid = before.place
            RETURNING before.valid
        )
        SELECT count(*) FILTER (WHERE valid) FROM marked
    """.replace("{verdicts}", bench.table.name)  # noqa: S608 - made of constants
    known = {
        "project": bench.project_id,
        "crawl_job": bench.crawl_job_id,
        "validation_job": bench.validation_job_id,
        "code": code,
    }
    # Of verdicts that were written a moment ago the planner knows nothing. So it gets no choice: rows are looked up by
    # their keys, which costs as much as there is to mark, whatever else the tables hold.
    await session.execute(text("SET LOCAL enable_hashjoin = off"))
    await session.execute(text("SET LOCAL enable_mergejoin = off"))
    found = (await session.scalars(text(marked), known | values)).one()
    await session.execute(text("SET LOCAL enable_hashjoin = on"))
    await session.execute(text("SET LOCAL enable_mergejoin = on"))
    return found


_WORK_MEMORY = "128MB"
"""For the hashes of a million images."""


def _measures() -> dict[str, ColumnElement[Any]]:
    width, height = Image.width.expression, Image.height.expression
    upright = Image.orientation < 5
    shorter, longer = func.least(width, height), func.greatest(width, height)
    licence = func.coalesce(Image.licence, UNKNOWN)
    return {
        "width": width,
        "height": height,
        "file_size": Image.file_size.expression,
        "aspect_ratio": cast(width, Float) / cast(func.nullif(height, 0), Float),
        "sharpness": Image.sharpness.expression,
        "contrast": Image.contrast.expression,
        "brightness": Image.brightness.expression,
        "entropy": Image.entropy.expression,
        "uniformity": Image.uniformity.expression,
        "colour": Image.colour.expression,
        "border": Image.border.expression,
        "greyscale": Image.colour < GREYSCALE,
        "animated": Image.animated.expression,
        "alpha": Image.alpha.expression,
        "shape": case(
            (20 * shorter > 19 * longer, "square"),
            ((width > height) == func.coalesce(upright, True), "landscape"),
            (width.is_not(None), "portrait"),
        ),
        "format": Image.format.expression,
        "licence": licence,
        "attributed": and_(
            Image.licence.is_not(None),
            func.coalesce(Image.page_url, "") != "",
            or_(func.coalesce(Image.creator, "") != "", licence.in_(NEED_NO_CREDIT)),
        ),
    }


def _breaks(rules: Rules, limit: Limit, measure: ColumnElement[Any]) -> ColumnElement[bool]:
    value: Any = getattr(rules, limit.rule)
    match limit.bound:
        case "min":
            return measure < value
        case "max":
            return measure > value
        case "is":
            return measure != value
        case "in":
            return measure.not_in(value)
