"""Crawl jobs: asked for, started, followed, stopped, taken up again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select

from backend.errors import BadInput
from backend.http.access import Reader, Writer
from backend.http.idempotency import RequestKey
from backend.http.paging import Cursor, Id, Limit, Page, paged
from backend.http.service import CurrentService, Service, Session, release
from backend.models import CrawlChunk, CrawlJob, Project
from backend.models.enums import JobStatus
from backend.schemas.base import RowId
from backend.schemas.crawl_jobs import ChunkResponse, CrawlJobResponse, CrawlJobUpdate
from backend.schemas.crawl_requests import CrawlOptions, CrawlRequest, RefreshRequest
from backend.schemas.previews import PreviewRequest, PreviewResponse
from backend.services import crawl_jobs, crawl_requests
from backend.services.access import owned, seen, visible, within
from backend.services.allowances import Allowance
from backend.services.idempotency import once

router = APIRouter(prefix="/crawl-jobs", tags=["crawl jobs"])


@router.get("")
async def list_crawl_jobs(
    session: Session,
    actor: Reader,
    project_id: Annotated[RowId | None, Query(description="Only those of this project.")] = None,
    status: Annotated[JobStatus | None, Query(description="Only those in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[CrawlJobResponse]:
    """All that you may see, the newest first."""
    query = within(select(CrawlJob), CrawlJob, visible(actor))
    if project_id is not None:
        query = query.where(CrawlJob.project_id == project_id)
    if status is not None:
        query = query.where(CrawlJob.status == status.value)
    return await paged(session, query, CrawlJob.id, cursor, limit)


@router.post("", status_code=201)
async def create_crawl_job(
    service: CurrentService, session: Session, actor: Writer, body: CrawlRequest, key: RequestKey = None
) -> CrawlJobResponse:
    """A new job. Nothing is gathered before `POST .../start`, so it can be looked at and changed until then."""
    project = await owned(session, actor, Project, body.project_id)
    await _check_lists(service, body.options)

    async def make() -> CrawlJob:
        return await crawl_requests.create(
            session, project, body, actor.user_id, allowance=_allowance(service), sources=service.settings.sources
        )

    return CrawlJobResponse.model_validate(await once(session, actor, key, body, CrawlJob, make))


@router.post("/preview")
async def preview_crawl(
    service: CurrentService, session: Session, _actor: Writer, body: PreviewRequest
) -> PreviewResponse:
    """The first pictures that the sources offer, within ten seconds. Nothing is kept, and no picture is fetched."""
    await _check_lists(service, body.options)
    await release(session)
    return await service.preview(body.keywords, body.plan(), body.limit)


@router.get("/{crawl_job_id}")
async def show_crawl_job(session: Session, actor: Reader, crawl_job_id: Id) -> CrawlJobResponse:
    """One job and its counters."""
    return CrawlJobResponse.model_validate(await seen(session, actor, CrawlJob, crawl_job_id))


@router.patch("/{crawl_job_id}")
async def update_crawl_job(session: Session, actor: Writer, crawl_job_id: Id, body: CrawlJobUpdate) -> CrawlJobResponse:
    """The name at any time; `max_images` until the job is started."""
    job = await owned(session, actor, CrawlJob, crawl_job_id)
    return CrawlJobResponse.model_validate(await crawl_requests.update(session, job, body, actor.user_id))


@router.delete("/{crawl_job_id}", status_code=204)
async def delete_crawl_job(session: Session, actor: Writer, crawl_job_id: Id) -> None:
    """Remove a job that is not under way, with its images, validations and exports."""
    await crawl_requests.delete(session, await owned(session, actor, CrawlJob, crawl_job_id), actor.user_id)


@router.post("/{crawl_job_id}/start", status_code=202)
async def start_crawl_job(
    service: CurrentService, session: Session, actor: Writer, crawl_job_id: Id
) -> CrawlJobResponse:
    """Put the job into the queue. It is pending, with a task id, until a worker has planned it."""
    job = await owned(session, actor, CrawlJob, crawl_job_id)
    job = await crawl_requests.start(session, job, actor.user_id, _allowance(service))
    return CrawlJobResponse.model_validate(job)


@router.post("/{crawl_job_id}/cancel")
async def cancel_crawl_job(session: Session, actor: Writer, crawl_job_id: Id) -> CrawlJobResponse:
    """Stop the job, or the validation and export that hang from it. What was gathered stays; retry goes on with it."""
    await owned(session, actor, CrawlJob, crawl_job_id)
    return CrawlJobResponse.model_validate(await crawl_jobs.cancel(session, crawl_job_id, user_id=actor.user_id))


@router.post("/{crawl_job_id}/retry", status_code=202)
async def retry_crawl_job(
    service: CurrentService, session: Session, actor: Writer, crawl_job_id: Id
) -> CrawlJobResponse:
    """Go on with a failed or cancelled job from where it stopped, or with what was to follow it."""
    job = await owned(session, actor, CrawlJob, crawl_job_id)
    job = await crawl_requests.retry(session, job, actor.user_id, _allowance(service))
    return CrawlJobResponse.model_validate(job)


class _Refresh(RefreshRequest):
    refresh_of: int


@router.post("/{crawl_job_id}/refresh", status_code=201)
async def refresh_crawl_job(
    service: CurrentService,
    session: Session,
    actor: Writer,
    crawl_job_id: Id,
    body: RefreshRequest,
    key: RequestKey = None,
) -> CrawlJobResponse:
    """A new job, started at once, that visits this one's images again and looks for new ones."""
    old = await owned(session, actor, CrawlJob, crawl_job_id)
    asked = _Refresh(refresh_of=crawl_job_id, **body.model_dump())

    async def make() -> CrawlJob:
        return await crawl_requests.refresh(session, old, body, actor.user_id, _allowance(service))

    return CrawlJobResponse.model_validate(await once(session, actor, key, asked, CrawlJob, make))


@router.get("/{crawl_job_id}/chunks")
async def list_chunks(
    session: Session,
    actor: Reader,
    crawl_job_id: Id,
    status: Annotated[JobStatus | None, Query(description="Only those in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[ChunkResponse]:
    """The parts of the job in their order, each with its own counters and error."""
    await seen(session, actor, CrawlJob, crawl_job_id)
    query = select(CrawlChunk).where(CrawlChunk.crawl_job_id == crawl_job_id)
    if status is not None:
        query = query.where(CrawlChunk.status == status.value)
    return await paged(session, query, CrawlChunk.position, cursor, limit, newest_first=False)


def _allowance(service: Service) -> Allowance:
    return Allowance.of(service.settings)


async def _check_lists(service: Service, options: CrawlOptions) -> None:
    """Refuse lists that were never uploaded. Raises BadInput."""
    for place, choice in enumerate(options.lists):
        if choice.key is not None and await service.store.modified(choice.key) is None:
            field = f"body.options.lists.{place}.key"
            raise BadInput(
                f"{field}: There is no list with this key. Upload it: POST /api/v1/lists", fields={field: "not there"}
            )
