"""The rule about copies of what other jobs of the project have: of two jobs the earlier one keeps the picture.

Whoever judges the jobs in their order never loses a picture from both, and never keeps it in both: what belongs in an
earlier job's dataset, by its latest validation and by what people decided, stands for what comes later. What a
person keeps is kept in all jobs that have it. A refresh has the same pictures by its nature, so it is not compared with
the jobs that it refreshes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, cast, exists, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.models import CrawlJob, Decision, Image, ValidationJob
from backend.models.enums import Choice, ImageOutcome, JobStatus
from backend.services.decisions import AnySelect, chosen_of_several
from backend.services.judging import Bench, mark
from gleanset.rules import EXACT_DUPLICATE, NEAR_DUPLICATE

Pairs = tuple[Sequence[int], Sequence[int]]
"""The ids of images, and of those that stand for them."""
_DOWNLOADED = Image.outcome == ImageOutcome.DOWNLOADED.value


@dataclass(frozen=True, slots=True)
class Earlier:
    """A job of the project that came before, and its latest validation.

    `mark` tells one state of its images from another: it records none once it has ended. Empty: it has not ended.
    """

    id: int
    validation_job_id: int | None
    images: int
    mark: str


async def earlier_jobs(session: AsyncSession, bench: Bench) -> list[Earlier]:
    """The jobs whose images win against those of this one."""
    latest = (
        select(func.max(ValidationJob.id))
        .where(ValidationJob.crawl_job_id == CrawlJob.id, ValidationJob.status == JobStatus.COMPLETED.value)
        .correlate(CrawlJob)
        .scalar_subquery()
    )
    last = select(func.max(Image.id)).where(Image.crawl_job_id == CrawlJob.id, _DOWNLOADED).correlate(CrawlJob)
    state = (CrawlJob.downloaded_images, CrawlJob.completed_at, last.scalar_subquery())
    query = select(CrawlJob.id, CrawlJob.options["refresh_of"].as_integer(), latest, *state)
    mine = (CrawlJob.project_id == bench.project_id, CrawlJob.id <= bench.crawl_job_id)
    rows = (await session.execute(query.where(*mine).order_by(CrawlJob.id))).all()
    refreshed = {number: of for number, of, *_ in rows if of is not None}
    family = _oldest(refreshed, bench.crawl_job_id)
    return [
        Earlier(number, judged, images, f"{ended.isoformat()} {newest}" if ended else "")
        for number, _, judged, images, ended, newest in rows
        if _oldest(refreshed, number) != family
    ]


def _oldest(refreshed: Mapping[int, int], number: int) -> int:
    """The job that this one, or one that this one refreshes, was a refresh of at first."""
    while number in refreshed and refreshed[number] < number:
        number = refreshed[number]
    return number


async def exact_copies(session: AsyncSession, bench: Bench) -> Pairs:
    """The images of the job whose bytes an image of an earlier job has, which belongs in that one's dataset; but for
    pictures that a person keeps, which is for all jobs of the project."""
    mine, copy = aliased(Image), aliased(Image)
    # By their hash first, then by their ids: of a table that was not analysed yet the planner believes that as few have
    # an earlier job as this hash, and would go through all of them for each image.
    alike = func.array(select(copy.id).where(copy.sha256 == mine.sha256).correlate(mine).scalar_subquery())
    same = (Image.id == func.any(alike), Image.crawl_job_id < bench.crawl_job_id)
    first = chosen_of(select(Image.id).where(*same), bench, await earlier_jobs(session, bench))
    first = first.order_by(Image.id).limit(1).correlate(mine).lateral()
    kept = exists().where(
        Decision.project_id == bench.project_id,
        Decision.sha256 == mine.sha256,
        Decision.choice == Choice.KEEP.value,
    )
    had = (mine.crawl_job_id == bench.crawl_job_id, mine.outcome == ImageOutcome.DOWNLOADED.value, ~kept)
    rows = (await session.execute(select(mine.id, first.c.id).join(first, true()).where(*had))).all()
    return [number for number, _ in rows], [original for _, original in rows]


async def judge_exact_copies(session: AsyncSession, bench: Bench, copies: Pairs) -> int:
    """Also those that break other rules. How many images were valid until then."""
    return await _mark(session, bench, EXACT_DUPLICATE, copies)


async def judge_near_copies(session: AsyncSession, bench: Bench, copies: Pairs) -> int:
    """How many images were valid until then."""
    return await _mark(session, bench, NEAR_DUPLICATE, copies)


def chosen_of(query: AnySelect, bench: Bench, jobs: Sequence[Earlier]) -> AnySelect:
    """The query over images, narrowed to those that belong in the datasets of these jobs."""
    numbers, validations = [each.id for each in jobs], [each.validation_job_id for each in jobs]
    both = func.unnest(cast(numbers, ARRAY(Integer)), cast(validations, ARRAY(Integer)))
    earlier = both.table_valued("id", "validation_job_id", name="earlier").render_derived()
    query = query.join(earlier, earlier.c.id == Image.crawl_job_id)
    return chosen_of_several(query, bench.project_id, earlier.c.validation_job_id)


async def _mark(session: AsyncSession, bench: Bench, code: str, pairs: Pairs) -> int:
    rows = "SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:originals AS bigint[])) AS each (id, original)"
    return await mark(session, bench, code, rows, ids=pairs[0], originals=pairs[1]) if pairs[0] else 0
