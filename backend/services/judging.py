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
    String,
    Table,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import array
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


async def judge_each(
    session: AsyncSession, bench: Bench, rules: Rules, after: int = 0, most: int | None = None
) -> tuple[int, int]:
    """Write the verdicts of the job's images behind `after`, at most so many; how many, and how many are valid."""
    codes = [case((broken, literal(code))) for code, broken in breaks(rules).items()]
    reasons = func.array_remove(array(codes or [cast(literal(None), String)]), None)
    images = select(Image.id, reasons.label("reasons")).where(*downloaded(bench.crawl_job_id), Image.id > after)
    judged = images.order_by(Image.id).limit(most).subquery()
    written = (
        insert(bench.table)
        .from_select(
            ["validation_job_id", "image_id", "valid", "reasons"],
            select(
                literal(bench.validation_job_id),
                judged.c.id,
                func.cardinality(judged.c.reasons) == 0,
                judged.c.reasons,
            ),
        )
        .returning(bench.table.c.valid)
        .cte("written")
    )
    total, valid = (
        await session.execute(select(func.count(), func.count().filter(written.c.valid)).select_from(written))
    ).one()
    return total, valid


async def judge_copies(session: AsyncSession, bench: Bench) -> int:
    """Of the same bytes all but one image are exact duplicates: one that is valid, or else the first, stands for all.

    How many images were valid until then.
    """
    return await mark(
        session,
        bench,
        EXACT_DUPLICATE,
        """
        SELECT image_id AS id, original FROM (
            SELECT v.image_id, row_number() OVER best AS place, first_value(v.image_id) OVER best AS original
            FROM (
                SELECT sha256 FROM images
                WHERE crawl_job_id = :crawl_job AND outcome = 'downloaded' AND sha256 IS NOT NULL
                GROUP BY sha256 HAVING count(*) > 1
            ) AS several
            JOIN images AS i ON i.sha256 = several.sha256 AND i.crawl_job_id = :crawl_job
            JOIN {verdicts} AS v ON v.image_id = i.id AND v.validation_job_id = :validation_job
            WINDOW best AS (
                PARTITION BY i.sha256 ORDER BY v.valid DESC, CAST(:code AS text) = ANY (v.reasons), v.image_id
            )
        ) AS ranked
        WHERE place > 1
        """,
    )


async def judge_labels(session: AsyncSession, bench: Bench, most: int) -> int:
    """Of each label the first so many images stay, those that a person keeps before all others; whom a person has
    rejected takes nobody's place. How many images were valid until then."""
    return await mark(
        session,
        bench,
        MAX_PER_LABEL,
        """
        SELECT id, CAST(NULL AS bigint) AS original FROM (
            SELECT i.id, row_number() OVER (PARTITION BY i.label ORDER BY d.choice NULLS LAST, i.id) AS place
            FROM {verdicts} AS v JOIN images AS i ON i.id = v.image_id
            LEFT JOIN decisions AS d ON d.project_id = :project AND d.sha256 = i.sha256
            WHERE v.validation_job_id = :validation_job AND v.valid AND d.choice IS DISTINCT FROM 'reject'
        ) AS ranked
        WHERE place > :most
        """,
        most=most,
    )


async def mark(session: AsyncSession, bench: Bench, code: str, images: str, *, few: bool = False, **values: Any) -> int:
    """Give a reason to images; how many of them were valid until then. `few`: hundreds at most, of however many.

    `images`: SQL that gives their `id`s, each once, and the `original` that stands for each, or null; its parameters
    are :project, :crawl_job, :validation_job, :code and `values`, {verdicts} is the table.
    """
    marked = f"""
        WITH broken AS MATERIALIZED ({images}), marked AS (
            UPDATE {{verdicts}} AS now SET valid = false, reasons = before.reasons || CAST(:code AS text),
                duplicate_of = coalesce(broken.original, before.duplicate_of)
            FROM {{verdicts}} AS before, broken
            WHERE now.validation_job_id = :validation_job AND now.image_id = broken.id
                AND before.validation_job_id = now.validation_job_id AND before.image_id = now.image_id
                AND NOT CAST(:code AS text) = ANY (before.reasons)
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
    # Of verdicts that were written a moment ago the planner knows nothing: it takes them for one row, and would look
    # through all images for each of them.
    await session.execute(text(f"SET LOCAL enable_nestloop = {'on' if few else 'off'}"))
    found = (await session.scalars(text(marked), known | values)).one()
    await session.execute(text("SET LOCAL enable_nestloop = on"))
    return found


def _measures() -> dict[str, ColumnElement[Any]]:
    width, height = Image.width.expression, Image.height.expression
    upright = Image.orientation < 5
    shorter, longer = func.least(width, height), func.greatest(width, height)
    licence = func.coalesce(Image.licence, UNKNOWN)
    return {
        "width": width,
        "height": height,
        "file_size": Image.file_size.expression,
        "aspect_ratio": cast(width, Float) / func.nullif(height, 0),
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
