"""The rule about copies of what other jobs of the project have: of two jobs the earlier one keeps the picture.

Whoever judges the jobs in their order never loses a picture from both, and never keeps it in both: what belongs in an
earlier job's dataset, by its latest validation and by what people decided, stands for what comes later. A refresh has
the same pictures by its nature, so it is not compared with the jobs that it refreshes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, cast, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import TableValuedAlias

from backend.models import CrawlJob, Image, ValidationJob
from backend.models.enums import ImageOutcome, JobStatus
from backend.services.decisions import chosen_of_several
from backend.services.judging import Bench, mark
from gleanset.rules import EXACT_DUPLICATE

Pairs = tuple[Sequence[int], Sequence[int]]
"""The ids of images, and of those that stand for them."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A job of the project that came before, and its latest validation."""

    id: int
    validation_job_id: int | None


async def earlier_jobs(session: AsyncSession, bench: Bench) -> list[Earlier]:
    """The jobs whose images win against those of this one."""
    latest = (
        select(func.max(ValidationJob.id))
        .where(ValidationJob.crawl_job_id == CrawlJob.id, ValidationJob.status == JobStatus.COMPLETED.value)
        .correlate(CrawlJob)
        .scalar_subquery()
    )
    query = select(CrawlJob.id, CrawlJob.options["refresh_of"].as_integer(), latest)
    mine = (CrawlJob.project_id == bench.project_id, CrawlJob.id <= bench.crawl_job_id)
    rows = (await session.execute(query.where(*mine).order_by(CrawlJob.id))).all()
    refreshed = {number: of for number, of, _ in rows if of is not None}
    family = _oldest(refreshed, bench.crawl_job_id)
    return [Earlier(number, judged) for number, _, judged in rows if _oldest(refreshed, number) != family]


def _oldest(refreshed: Mapping[int, int], number: int) -> int:
    """The job that this one, or one that this one refreshes, was a refresh of at first."""
    while number in refreshed and refreshed[number] < number:
        number = refreshed[number]
    return number


async def exact_copies(session: AsyncSession, bench: Bench) -> Pairs:
    """The images of the job whose bytes an image of an earlier job has, which belongs in that one's dataset."""
    earlier = _table_of(await earlier_jobs(session, bench))
    mine, downloaded = aliased(Image), ImageOutcome.DOWNLOADED.value
    same = (Image.sha256 == mine.sha256, Image.crawl_job_id < bench.crawl_job_id)
    first = select(Image.id).join(earlier, earlier.c.id == Image.crawl_job_id).where(*same)
    first = chosen_of_several(first, bench.project_id, earlier.c.validation_job_id)
    first = first.order_by(Image.crawl_job_id, Image.id).limit(1).correlate(mine).lateral()
    query = select(mine.id, first.c.id).join(first, true())
    rows = await session.execute(query.where(mine.crawl_job_id == bench.crawl_job_id, mine.outcome == downloaded))
    return _pairs([(number, original) for number, original in rows])


async def judge_exact_copies(session: AsyncSession, bench: Bench, copies: Pairs) -> int:
    """Also those that break other rules: were they kept by a person, the picture would else be in both datasets.

    How many images were valid until then.
    """
    return await _mark(session, bench, EXACT_DUPLICATE, copies)


async def _mark(session: AsyncSession, bench: Bench, code: str, pairs: Pairs) -> int:
    rows = "SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:originals AS bigint[])) AS each (id, original)"
    return await mark(session, bench, code, rows, ids=pairs[0], originals=pairs[1]) if pairs[0] else 0


def _table_of(jobs: Sequence[Earlier]) -> TableValuedAlias:
    numbers, validations = [each.id for each in jobs], [each.validation_job_id for each in jobs]
    integers = ARRAY(Integer)
    earlier = func.unnest(cast(numbers, integers), cast(validations, integers))
    return earlier.table_valued("id", "validation_job_id", name="earlier").render_derived()


def _pairs(rows: Sequence[tuple[int, int]]) -> Pairs:
    return [number for number, _ in rows], [original for _, original in rows]
