"""Crawl jobs: planned, started, cancelled, tried again, and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend import queue
from backend.errors import BadInput, IllegalMove
from backend.models import CrawlChunk, CrawlJob, ExportJob, Project, ValidationJob
from backend.models.enums import JobStatus
from backend.schemas.crawl_jobs import labelled
from backend.schemas.plans import CrawlPlan
from backend.services import chunks, exports, splits, validation
from backend.services.activity import note
from backend.services.quotas import quotas
from backend.services.refreshes import KnownImages, known_images
from backend.services.states import announce, locked, move
from gleanset.errors import SourceError
from gleanset.rules import RuleSet
from gleanset.sources import SourceInfo, SourceOptions, folder, source_info, urls, website
from gleanset.sources.list_file import ListFile
from gleanset.store import Store
from gleanset.types import Query, Reason

Keywords = list[str] | dict[str, list[str]]
AnyFollower = TypeVar("AnyFollower", ValidationJob, ExportJob)
PLAN_TASK = "crawl.plan"


def plan_queries(
    keywords: Keywords, plan: CrawlPlan, *, rows_per_chunk: int, options: SourceOptions | None = None
) -> list[Query]:
    """What each chunk will ask; reads lists and folders once, so it belongs into a thread.

    Raises BadInput, RuleError, UnknownSource, SourceError for a list or folder that cannot be read or a missing key, or
    StoreError.
    """
    options = options or SourceOptions()
    queries = searches(keywords, plan, options)
    store = Store(options.store) if plan.lists and options.store else None
    for given in plan.lists:
        queries += urls.plan(
            ListFile(given.path, given.key, store),
            rows_per_chunk=rows_per_chunk,
            url_column=given.url_column,
            label_column=given.label_column,
            label=given.label,
        )
    queries += [website.plan(**given.model_dump()) for given in plan.websites]
    queries += [folder.plan(given.path, label=given.label) for given in plan.folders]
    if not queries:
        raise BadInput("There is nothing to crawl: give keywords, a list of URLs, a website or a folder.")
    return queries


def searches(keywords: Keywords, plan: CrawlPlan, options: SourceOptions) -> list[Query]:
    """What is asked for keywords, and whether that can be: reads nothing. Raises BadInput, RuleError, UnknownSource."""
    if plan.rules is not None:
        RuleSet.parse(plan.rules, plan.rules_name)
    for place, source in enumerate(plan.sources):
        try:
            _check_source(source_info(source), plan, options)
        except (BadInput, SourceError) as error:
            raise BadInput(str(error), field=f"options.sources.{place}") from error
    wanted = labelled(keywords)
    if wanted and not plan.sources:
        raise BadInput("Keywords need a source to be asked; name one, for instance openverse.", field="options.sources")
    return [
        Query(source=source, label=label, keyword=keyword)
        for label, words in wanted.items()
        for keyword in words
        for source in plan.sources
    ]


def _check_source(info: SourceInfo, plan: CrawlPlan, options: SourceOptions) -> None:
    """Refuse a source that could give nothing. Raises BadInput, or SourceError for a missing key or contact."""
    if not info.searched:
        raise BadInput(f"The source {info.name} takes no keywords but {info.needs}. Give it by --{info.name}.")
    if info.key:
        info.key_in(options)
    info.check_contact(options)
    if info.licence is not None and plan.licences is not None and info.licence not in plan.licences:
        raise BadInput(
            f"Every picture of {info.title} has the licence {info.licence}, which is not one of those asked for."
            f" Ask for it too with --license {info.licence}, or leave the source out."
        )


def rows_of(queries: Sequence[Query]) -> int | None:
    """How many pictures the queries offer, when all of them know: slices of lists, and folders."""
    if any("count" not in query.options for query in queries):
        return None
    return sum(int(query.options["count"]) for query in queries)


async def create(
    session: AsyncSession,
    project: Project,
    name: str,
    keywords: Keywords,
    plan: CrawlPlan,
    max_images: int,
    *,
    user_id: UUID,
) -> CrawlJob:
    """A pending job that remembers its plan, asked for by this person.

    Raises BadInput when its export cannot keep the splits that it names.
    """
    if plan.export is not None and plan.export.options.split is not None:
        await splits.check(session, project.user_id, plan.export.options.split)
    job = CrawlJob(
        project_id=project.id,
        name=name,
        keywords=keywords,
        max_images=max_images,
        options=plan.model_dump(mode="json"),
    )
    session.add(job)
    await session.flush()
    of = {"project_id": project.id} | ({"refresh_of": plan.refresh_of} if plan.refresh_of else {})
    note(session, user_id, "crawl_job.created", job, (None, job.status), name=name, **of)
    return job


async def start(
    session: AsyncSession,
    job_id: int,
    queries: Sequence[Query],
    *,
    known: KnownImages = KnownImages(),
    user_id: UUID | None,
) -> CrawlJob:
    """Move a pending job to running, with a chunk and a task for each query, all in the session's transaction.

    In a refresh the `known` images come first, and the queries share what these leave of the job's limit.
    """
    job = await locked(session, CrawlJob, job_id)
    await move(session, job, JobStatus.RUNNING, user_id=user_id)
    left = max(0, job.max_images - known.pictures)
    rows = rows_of(queries)
    roomy = rows is not None and rows <= left  # there is room for every row
    parts = [None] * len(queries) if roomy else quotas(left, queries)
    planned = [
        CrawlChunk(
            crawl_job_id=job.id,
            position=position,
            source=query.source,
            label=query.label,
            keyword=query.keyword,
            options=dict(query.options),
            quota=share,
        )
        for position, (query, share) in enumerate(
            zip((*known.queries, *queries), (*[None] * len(known.queries), *parts), strict=True)
        )
    ]
    session.add_all(planned)
    await session.flush()
    job.total_chunks = len(planned)
    await chunks.defer(session, job, planned)
    return job


async def request_plan(session: AsyncSession, job: CrawlJob, user_id: UUID | None) -> None:
    """Let a worker plan and start the job, which is locked and pending, and stays so until then."""
    user = str(user_id) if user_id else None
    job.task_ids = [await queue.defer(session, PLAN_TASK, job.id, crawl_job_id=job.id, user_id=user)]
    await session.flush()
    await announce(session, job.id)


async def begin(
    session: AsyncSession,
    job_id: int,
    plan: CrawlPlan,
    queries: Sequence[Query],
    *,
    rows_per_chunk: int,
    user_id: UUID | None,
) -> None:
    """Start the job by what a worker has planned; not when it was cancelled, or started by another task, meanwhile."""
    job = await locked(session, CrawlJob, job_id)
    if job.status != JobStatus.PENDING:
        return
    known = KnownImages()
    if plan.refresh_of is not None:
        await finished(session, plan.refresh_of)
        known = await known_images(session, plan.refresh_of, job.max_images, rows_per_chunk=rows_per_chunk)
    job.options = plan.model_dump(mode="json")
    await start(session, job.id, queries, known=known, user_id=user_id)


async def fail_planning(session: AsyncSession, job_id: int, error: str, *, user_id: UUID | None) -> None:
    """End a job that could not be planned; not when it was cancelled, or started by another task, meanwhile."""
    job = await locked(session, CrawlJob, job_id)
    if job.status == JobStatus.PENDING:
        await move(session, job, JobStatus.RUNNING, user_id=user_id)
        await move(session, job, JobStatus.FAILED, user_id=None, error=error)


async def finished(session: AsyncSession, job_id: int) -> CrawlJob:
    """The crawl job, locked; it must not be under way. Raises NotFound or BadInput."""
    job = await locked(session, CrawlJob, job_id)
    if job.status in {JobStatus.PENDING, JobStatus.RUNNING}:
        raise BadInput(f"Crawl job {job_id} is still {job.status}. Go on with it first: gleanset jobs retry {job_id}")
    return job


async def refresh(
    session: AsyncSession,
    old: CrawlJob,
    plan: CrawlPlan,
    queries: Sequence[Query],
    *,
    max_images: int,
    rows_per_chunk: int,
    user_id: UUID,
) -> CrawlJob:
    """A running job that visits the images of `old` again, and asks the queries for what is new."""
    plan = plan.model_copy(update={"refresh_of": old.id})
    project = await session.get_one(Project, old.project_id)
    job = await create(session, project, old.name, old.keywords, plan, max_images, user_id=user_id)
    known = await known_images(session, old.id, max_images, rows_per_chunk=rows_per_chunk)
    return await start(session, job.id, queries, known=known, user_id=user_id)


async def cancel(session: AsyncSession, job_id: int, *, user_id: UUID | None) -> CrawlJob:
    """Stop a job and the validations and exports that hang from it; what was gathered stays. A job that has ended stays
    as it is, and only these are stopped.

    Raises IllegalMove when nothing of it is pending or running.
    """
    job = await locked(session, CrawlJob, job_id)
    followers = await under_way(session, job_id)
    if job.status in {JobStatus.PENDING, JobStatus.RUNNING}:
        await move(session, job, JobStatus.CANCELLED, user_id=user_id)
        await session.execute(
            update(CrawlChunk)
            .where(
                CrawlChunk.crawl_job_id == job.id,
                CrawlChunk.status.in_((JobStatus.PENDING.value, JobStatus.RUNNING.value)),
            )
            .values(status=JobStatus.CANCELLED.value)
        )
        job.active_chunks = 0
    elif not followers:
        what = f"The crawl job {job.id} is {job.status}, and no validation or export of it is under way"
        raise IllegalMove(f"{what}: there is nothing to cancel.", current=job.status)
    for follower in followers:
        await move(session, follower, JobStatus.CANCELLED, user_id=user_id)
    await _abort_all(session, job_id)
    return job


async def retry(session: AsyncSession, job_id: int, *, user_id: UUID | None) -> CrawlJob:
    """Go on with what is left: unfinished chunks of a failed or cancelled crawl, or what was to follow a finished one.

    A job that is under way and has its tasks in the queue is left as it is. Raises IllegalMove when all is done.
    """
    job = await locked(session, CrawlJob, job_id)
    if job.status in {JobStatus.FAILED, JobStatus.CANCELLED}:
        await move(session, job, JobStatus.PENDING, user_id=user_id)
        if not job.total_chunks:
            await request_plan(session, job, user_id)
            return job
        await move(session, job, JobStatus.RUNNING, user_id=user_id)
        await _reopen(session, job)
    elif job.status == JobStatus.COMPLETED:
        await _retry_followers(session, job, user_id)
    elif not await queue.has_tasks(session, job.id):
        note(session, user_id, "crawl_job.requeued", job, (job.status, job.status))
        if job.status == JobStatus.PENDING:
            await request_plan(session, job, user_id)
        else:
            await _reopen(session, job)
    return job


async def _reopen(session: AsyncSession, job: CrawlJob) -> None:
    """Put every chunk that is not completed back into the queue."""
    query = select(CrawlChunk).where(CrawlChunk.crawl_job_id == job.id, CrawlChunk.status != JobStatus.COMPLETED.value)
    left = (await session.scalars(query.order_by(CrawlChunk.position))).all()
    for chunk in left:
        chunk.status = JobStatus.PENDING.value
        chunk.error_message = None
    job.failed_chunks = job.active_chunks = 0
    await session.flush()
    if left:
        await chunks.defer(session, job, left)
    elif job.total_chunks:
        await chunks.finish(session, job)
    else:
        raise BadInput(f"Crawl job {job.id} was never planned; there is nothing to go on with.")


async def _retry_followers(session: AsyncSession, job: CrawlJob, user_id: UUID | None) -> None:
    """The last validation of the job, or the export that belongs to it, whichever did not complete."""
    judged = await _last(session, ValidationJob, job.id)
    packed = await _last(session, ExportJob, job.id)
    if judged is not None and judged.status != JobStatus.COMPLETED:
        await validation.retry(session, judged.id, user_id=user_id)
    elif packed is not None and packed.status != JobStatus.COMPLETED:
        await exports.retry(session, packed.id, user_id=user_id)
    else:
        left = await session.scalars(
            select(ExportJob.id)
            .where(ExportJob.crawl_job_id == job.id, ExportJob.status != JobStatus.COMPLETED.value)
            .order_by(ExportJob.id)
        )
        ways = ", ".join(f"gleanset exports retry {number}" for number in left)
        what = f"earlier exports of it are not: {ways}" if ways else await _left(session, job)
        raise IllegalMove(f"The crawl job {job.id} is completed; {what}", current=job.status)


async def _left(session: AsyncSession, job: CrawlJob) -> str:
    """What else may be done about a job of which everything is completed."""
    counts = await failures(session, job.id)
    passing = {reason.value: counts[reason] for reason in Reason if reason.passing and reason in counts}
    if not passing:
        return "there is nothing left to do."
    named = ", ".join(f"{count:,} {reason}" for reason, count in passing.items())
    return (
        f"but {sum(passing.values()):,} of its images failed for reasons that may have passed ({named})."
        f" Ask for them again, in a job of its own: gleanset crawl --refresh {job.id}"
    )


async def _last(session: AsyncSession, kind: type[AnyFollower], job_id: int) -> AnyFollower | None:
    return await session.scalar(select(kind).filter_by(crawl_job_id=job_id).order_by(kind.id.desc()).limit(1))


async def under_way(session: AsyncSession, job_id: int) -> list[ValidationJob | ExportJob]:
    """The crawl job's validations and exports that are pending or running, locked: none of them ends meanwhile."""
    found: list[ValidationJob | ExportJob] = []
    for kind in (ValidationJob, ExportJob):
        open_ = kind.status.in_((JobStatus.PENDING.value, JobStatus.RUNNING.value))
        query = select(kind).where(kind.crawl_job_id == job_id, open_).order_by(kind.id).with_for_update()
        found += await session.scalars(query.execution_options(populate_existing=True))
    return found


async def _abort_all(session: AsyncSession, job_id: int) -> None:
    """Every task in the job's queue: its chunks, validations and exports."""
    ids = await session.scalars(
        text("SELECT id FROM procrastinate_jobs WHERE queue_name = :queue AND status IN ('todo', 'doing')"),
        {"queue": queue.queue_of(job_id)},
    )
    await queue.abort(session, ids.all())


async def failures(session: AsyncSession, job_id: int) -> dict[str, int]:
    """What was not had, by reason code, most frequent first; summed over the chunks, not over the images."""
    return await _counts(session, job_id, "reasons")


async def changes(session: AsyncSession, job_id: int) -> dict[str, int]:
    """What a refresh found, most frequent first; empty for other jobs."""
    return await _counts(session, job_id, "changes")


async def _counts(session: AsyncSession, job_id: int, column: str) -> dict[str, int]:
    rows = await session.execute(
        text(
            f"SELECT key, sum(CAST(value AS bigint)) AS n FROM crawl_chunks, jsonb_each_text({column})"  # noqa: S608
            " WHERE crawl_job_id = :job GROUP BY key ORDER BY n DESC, key"
        ),
        {"job": job_id},
    )
    return {word: int(count) for word, count in rows}


async def bytes_of(session: AsyncSession, job_id: int) -> int:
    """Bytes that the job's downloads came to."""
    query = select(func.coalesce(func.sum(CrawlChunk.bytes), 0)).where(CrawlChunk.crawl_job_id == job_id)
    return int((await session.scalars(query)).one())
