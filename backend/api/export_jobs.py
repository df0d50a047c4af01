"""Exports: asked for, followed, downloaded."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query
from fastapi.responses import FileResponse
from sqlalchemy import select

from backend.http.access import Reader, Writer
from backend.http.downloads import (
    KINDS,
    Download,
    DownloadLink,
    ReaderOrLink,
    Signature,
    check_signature,
    download,
    make_link,
)
from backend.http.idempotency import RequestKey
from backend.http.paging import Cursor, Id, Limit, Page, paged
from backend.http.problems import Problem
from backend.http.service import CurrentService, Session
from backend.models import CrawlJob, ExportJob
from backend.models.enums import JobStatus
from backend.schemas.base import Name, RowId
from backend.schemas.exports import ExportRequest
from backend.schemas.jobs import ExportJobResponse, export_response
from backend.services import exports
from backend.services.access import alive, owned, seen, visible, within
from backend.services.allowances import Allowance
from backend.services.idempotency import once

router = APIRouter(prefix="/export-jobs", tags=["export jobs"])


@router.get("")
async def list_export_jobs(
    session: Session,
    actor: Reader,
    crawl_job_id: Annotated[RowId | None, Query(description="Only those of this crawl job.")] = None,
    project_id: Annotated[RowId | None, Query(description="Only those of this project.")] = None,
    name: Annotated[Name | None, Query(description="Only those of this name.")] = None,
    status: Annotated[JobStatus | None, Query(description="Only those in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ExportJobResponse]:
    """The newest first."""
    query = within(select(ExportJob), ExportJob, visible(actor))
    wanted = {
        ExportJob.crawl_job_id: crawl_job_id,
        CrawlJob.project_id: project_id,
        ExportJob.name: name,
        ExportJob.status: None if status is None else status.value,
    }
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    page = await paged(session, query, ExportJob.id, cursor, limit)
    return Page(items=[export_response(job) for job in page.items], next=page.next)


@router.post("", status_code=201)
async def create_export_job(
    service: CurrentService, session: Session, actor: Writer, body: ExportRequest, key: RequestKey = None
) -> ExportJobResponse:
    """Pack the valid images of a crawl job that has ended, divided, resized and named as its options say."""
    await owned(session, actor, CrawlJob, body.crawl_job_id)

    async def make() -> ExportJob:
        return await exports.order(session, body, actor.user_id, Allowance.of(service.settings))

    return export_response(await once(session, actor, key, body, ExportJob, make))


@router.get("/{export_job_id}")
async def show_export_job(session: Session, actor: Reader, export_job_id: Id) -> ExportJobResponse:
    """One export."""
    return export_response(await seen(session, actor, ExportJob, export_job_id))


@router.post("/{export_job_id}/cancel")
async def cancel_export_job(session: Session, actor: Writer, export_job_id: Id) -> ExportJobResponse:
    """Stop it; what it has written is thrown away."""
    await owned(session, actor, ExportJob, export_job_id)
    return export_response(await exports.cancel(session, export_job_id, user_id=actor.user_id))


@router.post("/{export_job_id}/retry", status_code=202)
async def retry_export_job(
    service: CurrentService, session: Session, actor: Writer, export_job_id: Id
) -> ExportJobResponse:
    """Make a failed or cancelled export once more."""
    job = await owned(session, actor, ExportJob, export_job_id)
    return export_response(await exports.again(session, job, actor.user_id, Allowance.of(service.settings)))


@router.delete("/{export_job_id}", status_code=204)
async def delete_export_job(
    service: CurrentService, session: Session, actor: Writer, export_job_id: Id, afterwards: BackgroundTasks
) -> None:
    """Remove an export that has ended, and its file."""
    await owned(session, actor, ExportJob, export_job_id)
    job = await exports.delete(session, export_job_id, user_id=actor.user_id)
    afterwards.add_task(exports.discard, exports.file_of(service.settings.exports, job))


@router.post("/{export_job_id}/link", responses={410: {"description": "There is no file to download any more."}})
async def link_export_job(service: CurrentService, session: Session, actor: Reader, export_job_id: Id) -> DownloadLink:
    """A link that downloads the file without a login, for an hour."""
    job = await seen(session, actor, ExportJob, export_job_id)
    return make_link(session, service.secret, job, actor.user_id)


@router.head("/{export_job_id}/download", include_in_schema=False)
@router.get(
    "/{export_job_id}/download",
    response_class=FileResponse,
    responses={
        200: {"description": "The file.", "content": {kind: {} for kind in KINDS.values()}},
        206: {"description": "The range of it that was asked for."},
        304: {"description": "The file with this ETag, which is its SHA-256."},
        410: {"description": "The link or the export has expired, or images in it were taken down."},
        416: {"model": Problem, "description": "The file has no such part."},
    },
)
async def download_export(
    service: CurrentService,
    session: Session,
    actor: ReaderOrLink,
    export_job_id: Id,
    expires: Annotated[int | None, Query(ge=0, le=10**12)] = None,
    signed: Signature = None,
) -> Download:
    """The file, by a signed link or by a login. One `Range` at a time is answered with a part of it."""
    if actor is not None:
        job = await seen(session, actor, ExportJob, export_job_id)
    else:
        job = await alive(session, ExportJob, export_job_id)
        check_signature(service.secret, job, expires or 0, signed or "")
    exports.check_there(job)
    return await download(exports.file_of(service.settings.exports, job), job)
