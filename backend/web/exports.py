"""Packing a job's valid images, and having the file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fastapi import APIRouter, BackgroundTasks, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.errors import BadInput, IllegalMove, NotAllowed, NotFound, TooMany
from backend.http.access import Reader, Writer
from backend.http.downloads import DownloadLink, file_name, make_link
from backend.http.paging import Id
from backend.http.service import CurrentService, Session
from backend.models import CrawlJob, ExportJob, ValidationJob
from backend.models.enums import JobStatus
from backend.schemas.exports import ExportRequest
from backend.schemas.jobs import export_response
from backend.services import exports
from backend.services.access import Actor, owned, seen
from backend.services.allowances import Allowance
from backend.web import packing
from backend.web.forms import checked, fields_of
from backend.web.header import JobHeader, header_of
from backend.web.render import go, page
from gleanset.export import DOWNLOADED, FORMATS, usage

router = APIRouter(prefix="/jobs/{job_id}/exports")
_SHOWN = 50

_TOLD = {
    "zip": "Opens everywhere. Folders by label, the licences, a dataset card and a manifest beside them.",
    "tar": "The same in one stream, which can be unpacked while it comes in.",
    "tar.zst": "The tar, compressed by Zstandard: smaller, and much faster than gzip.",
    "tar.gz": "The tar, compressed. Pictures hardly become smaller, but metadata does.",
    "imagefolder": "Folders by split and label, as Hugging Face datasets and torchvision read them.",
    "webdataset": "Shards as tars, which webdataset and Hugging Face datasets stream while training.",
    "parquet": "Pictures and metadata in Parquet, as datasets lie on the Hugging Face hub.",
    "coco": "Pictures, and a COCO file for each split with images, licences, categories and annotations.",
    "yolo": "Folders by split and class, as Ultralytics trains classifiers on them.",
    "csv": "Only the table, for a spreadsheet: what there is, whose it is and where it can be had.",
    "jsonl": "Only the table, for programs, with all that the sources told.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """An export. `path`: where its file is had, while it is there; a `folder` has none.

    `taken_down`: how many images of a completed one were taken down since. `unpacking` and `loading`: commands, and
    Python by the client's name, while it can be had.
    """

    id: int
    name: str
    format: str
    status: str
    progress: int
    images: int
    total: int
    file_size: int | None
    sha256: str | None
    path: str | None
    folder: bool
    expires_at: datetime | None
    expired: bool
    taken_down: int
    splits: Mapping[str, int]
    left_out: int
    moved: int
    error: str | None
    open: bool
    unpacking: str | None
    loading: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportsPage:
    """`link`: one that was just made, as a whole address."""

    job: JobHeader
    formats: Sequence[tuple[str, str]]
    choices: Mapping[str, Sequence[tuple[str, str]]]
    earlier: Sequence[tuple[int, str]]
    validations: Sequence[tuple[int, str]]
    values: Mapping[str, str]
    errors: Mapping[str, str]
    exports: Sequence[Packed]
    link: DownloadLink | None


@router.get("")
async def show_exports(request: Request, session: Session, actor: Reader, job_id: Id) -> Response:
    """The formats, and what has been packed."""
    job = await seen(session, actor, CrawlJob, job_id)
    values = {**packing.EMPTY, "name": job.name, "format": "zip"}
    return page(request, "exports.html", await _page(session, await header_of(session, actor, job), values, {}))


@router.post("")
async def export(request: Request, service: CurrentService, session: Session, actor: Writer, job_id: Id) -> Response:
    """Pack the valid images."""
    job = await owned(session, actor, CrawlJob, job_id)
    given = await fields_of(request)
    asked = {
        "crawl_job_id": job.id,
        "name": given.get("name"),
        "format": given.get("format"),
        "export_options": packing.options_of(given),
    }
    wanted, wrong = checked(ExportRequest, asked)
    errors = {packing.field_of(place): sentence for place, sentence in wrong.items()}
    if wanted is not None:
        try:
            await exports.order(session, wanted, actor.user_id, Allowance.of(service.settings))
        except (BadInput, IllegalMove, NotAllowed, TooMany) as error:
            errors["form"] = str(error)
        else:
            return go(f"/jobs/{job_id}/exports", "The images are being packed.")
    context = await _page(session, await header_of(session, actor, job), given, errors)
    return page(request, "exports.html", context, 422)


@router.post("/{export_job_id}/link")
async def link(
    request: Request, service: CurrentService, session: Session, actor: Reader, job_id: Id, export_job_id: Id
) -> Response:
    """A link to hand on, which is shown once."""
    job = await seen(session, actor, CrawlJob, job_id)
    made = make_link(session, service.secret, await _of_job(seen, session, actor, job_id, export_job_id), actor.user_id)
    made.url = str(request.base_url).rstrip("/") + made.url
    values = {**packing.EMPTY, "name": job.name, "format": "zip"}
    context = await _page(session, await header_of(session, actor, job), values, {}, made)
    answer = page(request, "exports.html", context)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/{export_job_id}/{action}")
async def act(
    service: CurrentService,
    session: Session,
    actor: Writer,
    job_id: Id,
    export_job_id: Id,
    action: str,
    afterwards: BackgroundTasks,
) -> Response:
    """Cancel it, try it again, or remove it with its file."""
    job = await _of_job(owned, session, actor, job_id, export_job_id)
    done = {"cancel": "Cancelled.", "retry": "It goes on.", "delete": f"The export {job.name} is removed."}
    acts = {"cancel": exports.cancel, "delete": exports.delete}
    if action not in done:
        raise NotFound("There is no such thing to be done with an export.")
    if action == "retry":
        await exports.again(session, job, actor.user_id, Allowance.of(service.settings))
    else:
        await acts[action](session, export_job_id, user_id=actor.user_id)
    if action == "delete":
        afterwards.add_task(exports.discard, exports.file_of(service.settings.exports, job))
    return go(f"/jobs/{job_id}/exports", done[action])


async def _of_job(
    rule: Callable[..., Awaitable[ExportJob]], session: AsyncSession, actor: Actor, job_id: int, export_job_id: int
) -> ExportJob:
    """The export, by `seen` or `owned`. Raises NotFound also for one of another job."""
    job = await rule(session, actor, ExportJob, export_job_id)
    if job.crawl_job_id != job_id:
        raise NotFound(f"The job {job_id} has no export {export_job_id}.")
    return job


async def _page(
    session: AsyncSession,
    header: JobHeader,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    link: DownloadLink | None = None,
) -> ExportsPage:
    judged = select(ValidationJob).filter_by(crawl_job_id=header.id, status=JobStatus.COMPLETED.value)
    packed = select(ExportJob).filter_by(crawl_job_id=header.id).order_by(ExportJob.id.desc()).limit(_SHOWN)
    return ExportsPage(
        job=header,
        formats=[(name, _TOLD.get(name, "")) for name in DOWNLOADED],
        validations=[
            (each.id, f"{each.created_at:%Y-%m-%d %H:%M}, {each.validated_images - each.invalid_images:,} valid")
            for each in await session.scalars(judged.order_by(ValidationJob.id.desc()).limit(_SHOWN))
        ],
        choices=packing.CHOICES,
        earlier=await packing.earlier(session, header.project_id),
        values=values,
        errors=errors,
        exports=[_packed(each) for each in await session.scalars(packed)],
        link=link,
    )


def _packed(job: ExportJob) -> Packed:
    shown = export_response(job)
    there = shown.download_url is not None and not shown.is_expired
    container = exports.container_of(job)
    name = file_name(job).removesuffix(f".{container}")
    if container == "folder":
        name = job.export_options.get("out") or exports.file_of(Path(), job).name
    unpacking, loading = usage.unpacking(name, container), _loading(job, name, container)
    taken_down = job.taken_down_images if job.status == JobStatus.COMPLETED else 0
    usable = job.status == JobStatus.COMPLETED and not shown.is_expired and not taken_down
    return Packed(
        id=job.id,
        name=job.name,
        format=job.format,
        status=job.status,
        progress=job.progress,
        images=job.exported_images,
        total=job.total_images,
        file_size=job.file_size,
        sha256=shown.sha256,
        path=shown.download_url if there else None,
        folder=container == "folder",
        expires_at=job.expires_at,
        expired=shown.is_expired,
        taken_down=taken_down,
        splits=dict(sorted(job.splits.items(), key=lambda split: (-split[1], split[0]))),
        left_out=job.left_out_images,
        moved=job.moved_images,
        error=job.error_message,
        open=job.status in {JobStatus.PENDING, JobStatus.RUNNING},
        unpacking=unpacking if usable else None,
        loading=loading if usable else {},
    )


def _loading(job: ExportJob, name: str, container: str) -> Mapping[str, str]:
    layout, _ = FORMATS[job.format]
    return usage.loading(name, layout, container, exports.layout_of(job), sorted(job.splits))
