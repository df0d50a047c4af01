"""What people decide about pictures: it wins over every verdict, in all jobs of the project, now and later.

A decision is about bytes, so it outlives the job in which the picture was seen. Whoever changes one holds the locks of
all jobs that have the picture: their counts of valid images follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Select, and_, case, cast, delete, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.errors import BadInput, NotFound
from backend.models import CrawlJob, Decision, Image, Project, ValidationJob, Verdict
from backend.models.enums import Choice, ImageOutcome, JobStatus
from backend.schemas.decisions import Decided
from backend.services.activity import note
from backend.services.states import announce
from gleanset.rules import EXACT_DUPLICATE

AnySelect = TypeVar("AnySelect", bound=Select[*tuple[Any, ...]])

MOST_NOTED = 100
"""Pictures that an entry of the log names; a decision may concern a thousand."""
_UNDECIDED = "undecided"
_DOWNLOADED = Image.outcome == ImageOutcome.DOWNLOADED.value
_MARKED = func.coalesce(literal(EXACT_DUPLICATE) == func.any(Verdict.reasons), False)


def _is_copy() -> ColumnElement[bool]:
    """Whether another image of the job stands for the same bytes: keeping the picture does not bring its copies in.

    One of them has no such reason; or all have it, because an earlier job has the picture, and the first stands.
    """
    same, twin, judged = aliased(Image), aliased(Image), aliased(Verdict)
    # By their hash first, then by their ids, as in `across_jobs.exact_copies`.
    alike = func.array(select(same.id).where(same.sha256 == Image.sha256).correlate(Image).scalar_subquery())
    stands = or_(~func.coalesce(literal(EXACT_DUPLICATE) == func.any(judged.reasons), False), twin.id < Image.id)
    mine = (twin.crawl_job_id == Image.crawl_job_id, twin.outcome == ImageOutcome.DOWNLOADED.value, twin.id != Image.id)
    other = and_(judged.image_id == twin.id, judged.validation_job_id == Verdict.validation_job_id)
    query = select(twin.id).join(judged, other).where(twin.id == func.any(alike), *mine, stands)
    return and_(_MARKED, query.correlate(Image, Verdict).exists())


_NOT_REJECTED = func.coalesce(Decision.choice, Choice.KEEP.value) != Choice.REJECT.value
_CHOSEN: ColumnElement[bool] = case(
    (Decision.choice == Choice.REJECT.value, False),
    (Decision.choice == Choice.KEEP.value, ~_is_copy()),
    else_=func.coalesce(Verdict.valid, False),
)


def chosen(query: AnySelect, project_id: Any, validation_job_id: Any) -> AnySelect:
    """The query over images, narrowed to those that belong in the dataset; it may also ask for `Decision.choice`.

    Without a validation these are all downloads that nobody rejected.
    """
    if validation_job_id is None:
        return _decided(query, project_id).where(_NOT_REJECTED)
    return _judged(_decided(query, project_id), validation_job_id).where(_CHOSEN)


def chosen_of_several(query: AnySelect, project_id: int, validation: ColumnElement[int | None]) -> AnySelect:
    """The same of images of several jobs: `validation` is that of an image's job, or null where there is none."""
    belongs = case((validation.is_(None), _NOT_REJECTED), else_=_CHOSEN)
    return _judged(_decided(query, project_id), validation).where(belongs)


def _decided(query: AnySelect, project_id: Any) -> AnySelect:
    decided = and_(Decision.project_id == project_id, Decision.sha256 == Image.sha256)
    return query.outerjoin(Decision, decided).where(_DOWNLOADED)


def _judged(query: AnySelect, validation: Any) -> AnySelect:
    judged = and_(Verdict.validation_job_id == validation, Verdict.image_id == Image.id)
    return query.outerjoin(Verdict, judged)


async def decide(
    session: AsyncSession,
    project: Project,
    image_ids: Collection[int],
    choice: Choice,
    *,
    why: str | None = None,
    user_id: UUID,
) -> Decided:
    """Keep or reject pictures. Raises NotFound, or BadInput for images that were not had."""
    hashes = await _hashes(session, project, image_ids)
    jobs = await locked_jobs(session, hashes, project.id)
    before = await valid_counts(session, jobs, hashes)
    earlier = await _choices(session, project, hashes)
    rows = [{"project_id": project.id, "sha256": each, "choice": choice.value} for each in hashes]
    made = insert(Decision).values([row | {"note": why or None, "user_id": user_id} for row in rows])
    new = {name: made.excluded[name] for name in ("id", "choice", "note", "user_id")} | {"decided_at": func.now()}
    await session.execute(made.on_conflict_do_update(index_elements=["project_id", "sha256"], set_=new))
    images = await _follow(session, jobs, hashes, before)
    metadata = {"choice": choice.value, "pictures": len(hashes), "images": images} | ({"note": why} if why else {})
    told = {digest: (earlier.get(digest), choice.value) for digest in hashes}
    _note(session, user_id, "decisions.made", project, told, **metadata)
    return Decided(pictures=len(hashes), images=images)


async def undo(session: AsyncSession, project: Project, image_ids: Collection[int], *, user_id: UUID) -> Decided:
    """Forget what was decided about pictures; verdicts count again. Raises NotFound or BadInput."""
    hashes = await _hashes(session, project, image_ids)
    jobs = await locked_jobs(session, hashes, project.id)
    before = await valid_counts(session, jobs, hashes)
    earlier = await _choices(session, project, hashes)
    gone = delete(Decision).where(Decision.project_id == project.id, Decision.sha256.in_(hashes))
    undone = len((await session.scalars(gone.returning(Decision.id))).all())
    images = await _follow(session, jobs, hashes, before)
    if undone:
        told = {digest: (choice, None) for digest, choice in earlier.items()}
        _note(session, user_id, "decisions.undone", project, told, pictures=undone, images=images)
    return Decided(pictures=undone, images=images)


async def _choices(session: AsyncSession, project: Project, hashes: Collection[bytes]) -> dict[bytes, str]:
    """What is decided about the pictures by now."""
    query = select(Decision.sha256, Decision.choice).where(
        Decision.project_id == project.id, Decision.sha256.in_(hashes)
    )
    return {digest: choice for digest, choice in await session.execute(query)}  # noqa: C416 - dict() is not typed


def _note(
    session: AsyncSession,
    user_id: UUID,
    action: str,
    project: Project,
    told: Mapping[bytes, tuple[str | None, str | None]],
    **metadata: Any,
) -> None:
    """Remember how many pictures had which choice before and have after, and of the first of them which ones."""
    before, after = (Counter(pair[n] or _UNDECIDED for pair in told.values()) for n in (0, 1))
    listed = {digest.hex(): pair[0] for digest, pair in list(told.items())[:MOST_NOTED]}
    note(session, user_id, action, project, (dict(before), dict(after)), **metadata, decided_before=listed)


async def adjustment(session: AsyncSession, crawl_job: CrawlJob, validation_job_id: int) -> int:
    """By how much decisions change the number of images that a validation found valid."""
    difference = cast(_CHOSEN, Integer) - cast(func.coalesce(Verdict.valid, False), Integer)
    judged = and_(Verdict.validation_job_id == validation_job_id, Verdict.image_id == Image.id)
    query = select(func.coalesce(func.sum(difference), 0)).select_from(Decision)
    query = query.join(Image, Image.sha256 == Decision.sha256).outerjoin(Verdict, judged)
    mine = (Decision.project_id == crawl_job.project_id, Image.crawl_job_id == crawl_job.id, _DOWNLOADED)
    return int((await session.scalars(query.where(*mine))).one())


async def locked_jobs(
    session: AsyncSession, hashes: Collection[bytes], project_id: int | None = None
) -> Sequence[CrawlJob]:
    """The jobs that have these pictures, of one project or of all, locked in the order of their numbers."""
    having = select(Image.crawl_job_id).where(Image.sha256.in_(hashes), _DOWNLOADED)
    query = select(CrawlJob).where(CrawlJob.id.in_(having)).order_by(CrawlJob.id)
    if project_id is not None:
        query = query.where(CrawlJob.project_id == project_id)
    return (await session.scalars(query.with_for_update().execution_options(populate_existing=True))).all()


async def valid_counts(session: AsyncSession, jobs: Sequence[CrawlJob], hashes: Collection[bytes]) -> Mapping[int, int]:
    """How many images of these pictures count as valid in each job that was judged."""
    latest = (
        select(func.max(ValidationJob.id))
        .where(ValidationJob.crawl_job_id == CrawlJob.id, ValidationJob.status == JobStatus.COMPLETED.value)
        .correlate(CrawlJob)
        .scalar_subquery()
    )
    query = select(CrawlJob.id, func.count()).join(Image, Image.crawl_job_id == CrawlJob.id)
    query = chosen(query, CrawlJob.project_id, latest).where(
        CrawlJob.id.in_([job.id for job in jobs]), Image.sha256.in_(hashes), latest.is_not(None)
    )
    return {job_id: count for job_id, count in await session.execute(query.group_by(CrawlJob.id))}  # noqa: C416


async def _follow(
    session: AsyncSession, jobs: Sequence[CrawlJob], hashes: Collection[bytes], before: Mapping[int, int]
) -> int:
    """Let the jobs' counts follow; how many images of the jobs the pictures are."""
    after = await valid_counts(session, jobs, hashes)
    for job in jobs:
        change = after.get(job.id, 0) - before.get(job.id, 0)
        if change:
            job.valid_images = max(0, job.valid_images + change)
        await announce(session, job.id)
    mine = (Image.crawl_job_id.in_([job.id for job in jobs]), Image.sha256.in_(hashes), _DOWNLOADED)
    return (await session.scalars(select(func.count()).select_from(Image).where(*mine))).one()


async def _hashes(session: AsyncSession, project: Project, image_ids: Collection[int]) -> list[bytes]:
    query = select(Image.id, Image.sha256).join(CrawlJob, CrawlJob.id == Image.crawl_job_id)
    query = query.where(CrawlJob.project_id == project.id, Image.id.in_(image_ids))
    found = {number: digest for number, digest in await session.execute(query)}  # noqa: C416
    hashes = {digest for digest in found.values() if digest is not None}
    for place, number in enumerate(image_ids):
        if number not in found:
            raise NotFound(f"There is no image {number} in this project.")
        if found[number] is None:
            raise BadInput(f"Image {number} was not had, so there is nothing to decide.", field=f"image_ids.{place}")
    return sorted(hashes)
