"""A crawl job: how it goes on, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.http.access import Reader, Writer
from backend.http.paging import Id
from backend.http.service import CurrentService, Session
from backend.models import CrawlChunk, CrawlJob, Project
from backend.models.enums import JobStatus
from backend.schemas.crawl_jobs import CrawlJobUpdate, labelled
from backend.schemas.crawl_requests import RefreshRequest
from backend.schemas.plans import CrawlPlan
from backend.schemas.progress import PartProgress, RunProgress
from backend.services import crawl_jobs, crawl_requests
from backend.services.access import owned, seen
from backend.services.allowances import Allowance
from backend.services.progress import progress
from backend.services.reports import read_report
from backend.web.forms import checked, fields_of
from backend.web.render import go, page
from backend.web.rules import told

router = APIRouter(prefix="/jobs/{job_id}")
_MOST_KEYWORDS = 60
_MOST_FAILED = 20
Bar = tuple[str, int, int]
"""A name, how many, and of how many that is a share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPiece:
    """`asked`: which source for what, in words."""

    number: int
    asked: str
    status: str
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """`startable`: it waits for a person, not for a worker. `asked`: terms and what was said of them.

    `chunks`: the strip. `failed`: the first chunks that failed.
    """

    project_id: int
    project_name: str
    changeable: bool
    startable: bool
    run: RunProgress
    chunks: Sequence[ChunkPiece]
    failed: Sequence[ChunkPiece]
    error: str | None
    waiting: str | None
    labels: Sequence[Bar]
    sources: Sequence[Bar]
    failures: Sequence[Bar]
    invalid: Sequence[Bar]
    asked: Sequence[tuple[str, str]]


@router.get("")
async def show_job(request: Request, session: Session, actor: Reader, job_id: Id) -> Response:
    """Where the run stands; a script goes on from there."""
    job = await seen(session, actor, CrawlJob, job_id)
    project = await session.get_one(Project, job.project_id)
    report = await read_report(session, job.id)
    run = await progress(session, report)
    context = JobPage(
        project_id=project.id,
        project_name=project.name,
        changeable=actor.may_change(project.user_id),
        startable=job.status == JobStatus.PENDING and not job.task_ids and not job.total_chunks,
        run=run,
        chunks=await _pieces(session, job, CrawlChunk.position.in_([chunk.position for chunk in run.chunks])),
        failed=await _pieces(session, job, CrawlChunk.status == JobStatus.FAILED.value, _MOST_FAILED),
        error=report.error,
        waiting=report.waiting,
        labels=_parts(run.labels),
        sources=_parts(run.sources),
        failures=_shares(run.failures),
        invalid=_shares(run.invalid),
        asked=_asked(job, report.plan),
    )
    return page(request, "job.html", context)


@router.post("/start")
async def start_job(service: CurrentService, session: Session, actor: Writer, job_id: Id) -> Response:
    """Let a worker take it up."""
    job = await owned(session, actor, CrawlJob, job_id)
    await crawl_requests.start(session, job, actor.user_id, Allowance.of(service.settings))
    return go(f"/jobs/{job_id}", "Started.")


@router.post("/cancel")
async def cancel_job(session: Session, actor: Writer, job_id: Id) -> Response:
    """Stop it; what was gathered stays."""
    await owned(session, actor, CrawlJob, job_id)
    await crawl_jobs.cancel(session, job_id, user_id=actor.user_id)
    return go(f"/jobs/{job_id}", "Cancelled. What was gathered stays, and trying again goes on from there.")


@router.post("/retry")
async def retry_job(service: CurrentService, session: Session, actor: Writer, job_id: Id) -> Response:
    """Go on with what is left."""
    job = await owned(session, actor, CrawlJob, job_id)
    await crawl_requests.retry(session, job, actor.user_id, Allowance.of(service.settings))
    return go(f"/jobs/{job_id}", "It goes on.")


@router.post("/name")
async def rename_job(request: Request, session: Session, actor: Writer, job_id: Id) -> Response:
    """Another name."""
    job = await owned(session, actor, CrawlJob, job_id)
    wanted, errors = checked(CrawlJobUpdate, {"name": (await fields_of(request)).get("name", "")})
    if wanted is None:
        return go(f"/jobs/{job_id}", f"It keeps its name. {errors['name']}")
    await crawl_requests.update(session, job, wanted, actor.user_id)
    return go(f"/jobs/{job_id}", "Saved.")


@router.post("/refresh")
async def refresh_job(service: CurrentService, session: Session, actor: Writer, job_id: Id) -> Response:
    """A new job, which visits the images of this one again."""
    old = await owned(session, actor, CrawlJob, job_id)
    job = await crawl_requests.refresh(session, old, RefreshRequest(), actor.user_id, Allowance.of(service.settings))
    return go(f"/jobs/{job.id}", f"This new job visits the images of job {job_id} again, and looks for new ones.")


@router.post("/delete")
async def delete_job(request: Request, session: Session, actor: Writer, job_id: Id) -> Response:
    """Remove it with all that it gathered."""
    job = await owned(session, actor, CrawlJob, job_id)
    if (await fields_of(request)).get("sure") != "yes":
        return go(f"/jobs/{job_id}", "Nothing was deleted: tick the box first.")
    project_id, name = job.project_id, job.name
    await crawl_requests.delete(session, job, actor.user_id)
    return go(f"/projects/{project_id}", f"The crawl job {name} is deleted.")


async def _pieces(
    session: AsyncSession, job: CrawlJob, which: ColumnElement[bool], most: int | None = None
) -> list[ChunkPiece]:
    columns = (CrawlChunk.position, CrawlChunk.source, CrawlChunk.label, CrawlChunk.keyword)
    query = select(*columns, CrawlChunk.status, CrawlChunk.error_message).where(
        CrawlChunk.crawl_job_id == job.id, which
    )
    return [
        ChunkPiece(
            number=row.position + 1,
            asked=f"{row.source}, {row.keyword or row.label}",
            status=row.status,
            error=row.error_message,
        )
        for row in await session.execute(query.order_by(CrawlChunk.position).limit(most))
    ]


def _parts(parts: Sequence[PartProgress]) -> list[Bar]:
    return [(part.name, part.downloaded, part.downloaded if part.wanted is None else part.wanted) for part in parts]


def _shares(counts: Mapping[str, int]) -> list[Bar]:
    most = max(counts.values(), default=0)
    return [(name, count, most) for name, count in counts.items()]


def _asked(job: CrawlJob, plan: CrawlPlan) -> list[tuple[str, str]]:
    """The plan in words; what was not asked for is left out."""
    labels = labelled(job.keywords) if job.keywords else {}
    words = [label if [label] == keywords else f"{label}: {', '.join(keywords)}" for label, keywords in labels.items()]
    more = [f"and {len(words) - _MOST_KEYWORDS} more"] if len(words) > _MOST_KEYWORDS else []
    rules = [f"{name} = {value}" for name, value in told(plan.rules)] if plan.rules else []
    terms = {
        "Keywords": "; ".join(words[:_MOST_KEYWORDS] + more),
        "Sources": ", ".join(plan.sources),
        "Lists": ", ".join("an uploaded list" if given.path == given.key else given.path for given in plan.lists),
        "Websites": ", ".join(given.url for given in plan.websites),
        "Folders": ", ".join(given.path for given in plan.folders),
        "Licences": ", ".join(plan.licences or ["all"]),
        "Most images": f"{job.max_images:,}",
        "Rules": ", ".join(rules),
        "Export": plan.export.format if plan.export else "",
        "Visits again": f"the images of job {plan.refresh_of}" if plan.refresh_of else "",
    }
    return [(term, value) for term, value in terms.items() if value]
