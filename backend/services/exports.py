"""Export jobs: what is packed, where it lies, and until when."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend import queue
from backend.db import Database
from backend.errors import BadInput, Gone, IllegalMove
from backend.models import CrawlJob, Decision, ExportJob, Image, Project, ValidationJob
from backend.models.enums import Delivery, JobStatus
from backend.schemas.exports import ExportRequest, StoredOptions
from backend.schemas.plans import ExportPlan
from backend.services import allowances, deliveries, splits
from backend.services.activity import note
from backend.services.allowances import Allowance
from backend.services.decisions import chosen
from backend.services.splits import Division
from backend.services.states import announce, ended, locked, move
from gleanset.export import FORMATS, Entry, Options, Packed, Resize
from gleanset.store import blob_key
from gleanset.types import Licence

TASK = "export.run"
_PAGE = 500
_UNLABELLED = "unlabelled"
_LABEL = func.coalesce(func.nullif(Image.label, ""), _UNLABELLED)
_NAMED = 20
"""Labels that an error names."""


async def create(
    session: AsyncSession,
    crawl_job: CrawlJob,
    user_id: UUID,
    export_format: str = "zip",
    options: StoredOptions | None = None,
    name: str | None = None,
) -> ExportJob:
    """A pending export with its task. What its options leave open, such as the latest validation, is settled now.

    Raises BadInput for a format that does not exist, a validation of another job, labels that no image has, or splits
    that cannot be kept.
    """
    if export_format not in FORMATS:
        raise BadInput(
            f"There is no export format {export_format!r}. The formats are: {', '.join(FORMATS)}.", field="format"
        )
    options = options or StoredOptions()
    judged = await _deciding_validation(session, crawl_job.id, options.validation_job_id)
    job = ExportJob(
        crawl_job_id=crawl_job.id, user_id=user_id, name=(name or crawl_job.name)[:100], format=export_format
    )
    session.add(job)
    await session.flush()
    if options.split is not None:
        project = await session.get_one(Project, crawl_job.project_id)
        if not options.planned:  # a plan was checked when it was made; what is gone since, the export itself will tell
            await splits.check(session, project.user_id, options.split)
        options = options.model_copy(update={"split": await splits.settle(session, job, project.id, options.split)})
    job.export_options = options.model_copy(update={"validation_job_id": judged}).stored()
    if options.labels is not None and not options.planned:
        await _check_labels(session, job, options.labels)
    if options.split is not None and not options.planned:
        await splits.check_there(session, job, options.split, _chosen(job))
    job.delivery = Delivery.WANTED.value if options.out else None
    await session.flush()
    made = (None, job.status)
    note(session, user_id, "export_job.created", job, made, crawl_job_id=crawl_job.id, format=export_format)
    await queue.defer(session, TASK, crawl_job.id, export_job_id=job.id)
    return job


async def order(session: AsyncSession, wanted: ExportRequest, user_id: UUID, allowance: Allowance) -> ExportJob:
    """An export as the API asks for it. Raises IllegalMove while the crawl is under way, BadInput as `create` does, and
    TooMany or NotAllowed."""
    asked = await session.get_one(CrawlJob, wanted.crawl_job_id)
    await allowances.check_follower(session, asked, allowance, packing=True)
    crawl_job = await ended(session, wanted.crawl_job_id, "it can be exported")
    options = StoredOptions.model_validate(wanted.export_options.stored())
    return await create(session, crawl_job, user_id, wanted.format, options, wanted.name)


async def create_planned(
    session: AsyncSession, crawl_job: CrawlJob, validated: ValidationJob, plan: ExportPlan
) -> None:
    """The export that a crawl job's plan asks for when its validation is done; once, however often it is judged."""
    planned = ExportJob.export_options["planned"].as_boolean()
    if await session.scalar(select(ExportJob.id).where(ExportJob.crawl_job_id == crawl_job.id, planned).limit(1)):
        return
    owner = await session.get_one(Project, crawl_job.project_id)
    options = options_of(plan).model_copy(update={"validation_job_id": validated.id, "planned": True})
    await create(session, crawl_job, owner.user_id, plan.format, options)


def options_of(plan: ExportPlan) -> StoredOptions:
    """What a plan says beside the format, as the export keeps it."""
    return StoredOptions.model_validate(plan.options.stored() | plan.model_dump(include={"container", "out"}))


async def _check_labels(session: AsyncSession, job: ExportJob, wanted: Sequence[str]) -> None:
    """Raises BadInput when no image that would be packed has one of the labels."""
    if await session.scalar(_chosen(job).with_only_columns(Image.id).limit(1)) is not None:
        return
    label = _LABEL.label("label")
    labels = _chosen(job, any_label=True).with_only_columns(label).distinct().order_by(label).limit(_NAMED + 1)
    there = (await session.scalars(labels)).all()
    more = " and more" if len(there) > _NAMED else ""
    raise BadInput(
        f"No image to export has the label {' or '.join(map(repr, wanted[:_NAMED]))}."
        f" The labels that there are: {', '.join(there[:_NAMED]) or 'none'}{more}.",
        field="export_options.labels",
    )


async def _deciding_validation(session: AsyncSession, crawl_job_id: int, wanted: int | None) -> int | None:
    query = select(ValidationJob.id).where(
        ValidationJob.crawl_job_id == crawl_job_id, ValidationJob.status == JobStatus.COMPLETED.value
    )
    if wanted is not None:
        query = query.where(ValidationJob.id == wanted)
    found = await session.scalar(query.order_by(ValidationJob.id.desc()).limit(1))
    if wanted is not None and found is None:
        raise BadInput(
            f"Crawl job {crawl_job_id} has no completed validation {wanted}.", field="export_options.validation_job_id"
        )
    if found is None and await session.scalar(select(ValidationJob.id).filter_by(crawl_job_id=crawl_job_id).limit(1)):
        raise BadInput(
            f"The images of crawl job {crawl_job_id} are not judged to the end: gleanset jobs retry {crawl_job_id}"
        )
    return found


async def again(session: AsyncSession, job: ExportJob, user_id: UUID, allowance: Allowance) -> ExportJob:
    """Make a failed or cancelled export once more, as the API asks for it. Raises TooMany or NotAllowed."""
    if job.status not in {JobStatus.PENDING, JobStatus.RUNNING}:
        asked = await session.get_one(CrawlJob, job.crawl_job_id)
        await allowances.check_follower(session, asked, allowance, packing=True)
    return await retry(session, job.id, user_id=user_id)


async def retry(session: AsyncSession, job_id: int, *, user_id: UUID | None) -> ExportJob:
    """Put a failed or cancelled export back into the queue. Raises IllegalMove when it is completed."""
    job = await locked(session, ExportJob, job_id)
    if job.status == JobStatus.COMPLETED:
        raise IllegalMove(f"The export job {job.id} is completed; there is nothing left to do.", current=job.status)
    ended = job.status not in {JobStatus.PENDING, JobStatus.RUNNING}
    if ended:
        await move(session, job, JobStatus.PENDING, user_id=user_id)
    if ended or not await queue.has_tasks(session, job.crawl_job_id):
        if not ended:
            note(session, user_id, "export_job.requeued", job, (job.status, job.status))
        await queue.defer(session, TASK, job.crawl_job_id, export_job_id=job.id)
    return job


async def cancel(session: AsyncSession, job_id: int, *, user_id: UUID | None) -> ExportJob:
    """Stop a pending or running export. Raises IllegalMove when it has ended."""
    job = await locked(session, ExportJob, job_id)
    await move(session, job, JobStatus.CANCELLED, user_id=user_id)
    await queue.abort_of(session, job.crawl_job_id, TASK, export_job_id=job.id)
    return job


async def delete(session: AsyncSession, job_id: int, *, user_id: UUID | None) -> ExportJob:
    """Forget an export that has ended; its file is the caller's to remove. Raises IllegalMove while it is under way."""
    job = await locked(session, ExportJob, job_id)
    if job.status in {JobStatus.PENDING, JobStatus.RUNNING}:
        raise IllegalMove(f"The export job {job.id} is {job.status}; cancel it first.", current=job.status)
    gone = (job.status, None)
    note(session, user_id, "export_job.deleted", job, gone, name=job.name, crawl_job_id=job.crawl_job_id)
    await session.delete(job)
    return job


def container_of(job: ExportJob) -> str:
    """What the export's files are in: a name of `gleanset.export.CONTAINERS`."""
    return job.export_options.get("container") or FORMATS[job.format][1]


def layout_of(job: ExportJob) -> Options:
    """What of the options concerns how the dataset is written."""
    asked = StoredOptions.model_validate(job.export_options)
    shards = {"max_shard_bytes": asked.max_shard_size} if asked.max_shard_size else {}
    return Options(include_metadata=asked.include_metadata, rename=asked.rename, resize=_resize(asked), **shards)


def _resize(asked: StoredOptions) -> Resize | None:
    if (wanted := asked.resize) is None:
        return None
    return Resize(
        mode=wanted.mode,
        width=wanted.size,
        height=wanted.height or wanted.size,
        format=wanted.format,
        quality=wanted.quality,
    )


def file_of(folder: Path, job: ExportJob) -> Path:
    """Where the export lies among the exports, which all processes share."""
    return folder / f"export-{job.id}.{container_of(job)}"


def discard(path: Path) -> None:
    """Remove the file or folder of an export, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_there(job: ExportJob) -> None:
    """Raises IllegalMove when the export is not made, Gone when its file is not for downloading any more."""
    if job.status != JobStatus.COMPLETED:
        raise IllegalMove(f"The export job {job.id} is {job.status}; there is no file yet.", current=job.status)
    if container_of(job) == "folder":
        raise Gone("This export is a folder on the machine that made it, not a file. Export again, as zip.")
    if job.taken_down_images:
        raise Gone(f"{job.taken_down_images} of the images in this export were taken down since. Export again.")
    if job.download_url is None or (job.expires_at is not None and job.expires_at <= datetime.now(UTC)):
        raise Gone("This export has expired and its file is deleted. Export again.")


async def begin(session: AsyncSession, job_id: int) -> ExportJob | None:
    """Move the job to running and count what it will pack; None when there is nothing to do for a task.

    `attempts` tells this run of the task from any other: only the latest may go on and finish.
    """
    job = await locked(session, ExportJob, job_id)
    if job.status == JobStatus.PENDING:
        await move(session, job, JobStatus.RUNNING, user_id=None)
    if job.status != JobStatus.RUNNING:
        return None
    job.attempts += 1
    job.exported_images = job.taken_down_images = 0
    job.total_images = (await session.scalars(select(func.count()).select_from(_chosen(job).subquery()))).one()
    return job


async def progress(session: AsyncSession, job_id: int, attempt: int, exported: int) -> bool:
    """Note how many images are packed; whether the task may go on. Raises TakenDown."""
    job = await locked(session, ExportJob, job_id)
    if job.status != JobStatus.RUNNING or job.attempts != attempt:
        return False
    deliveries.check_not_taken_down(job)
    job.exported_images = exported
    percent = deliveries.PACKED_PERCENT if deliveries.remote(job) else 100
    job.progress = min(99, percent * exported // max(1, job.total_images))
    await announce(session, job.crawl_job_id)
    return True


async def finish(session: AsyncSession, job_id: int, attempt: int, packed: Packed, url: str, *, days: int) -> bool:
    """Complete the job; whether the file may be put at `url`, which the caller does before it commits.
    Raises TakenDown."""
    job = await locked(session, ExportJob, job_id)
    if job.status != JobStatus.RUNNING or job.attempts != attempt:
        return False
    deliveries.check_not_taken_down(job)
    job.exported_images, job.file_size, job.download_url = packed.images, packed.file_size, url
    job.sha256 = bytes.fromhex(packed.sha256)
    job.expires_at = datetime.now(UTC) + timedelta(days=days)
    if deliveries.remote(job):
        job.delivery = Delivery.DONE.value
    await move(session, job, JobStatus.COMPLETED, user_id=None)
    return True


async def fail(session: AsyncSession, job_id: int, attempt: int, error: str) -> None:
    """End the job with an error."""
    job = await locked(session, ExportJob, job_id)
    if job.status == JobStatus.RUNNING and job.attempts == attempt:
        await move(session, job, JobStatus.FAILED, user_id=None, error=error)


def _chosen(job: ExportJob, *, any_label: bool = False) -> Select[Image, str]:
    """The images that the export packs, and what a person decided about each: those kept, and those that the validation
    found valid (every download when nothing was validated), without those rejected."""
    project = select(CrawlJob.project_id).where(CrawlJob.id == job.crawl_job_id).scalar_subquery()
    images = select(Image, Decision.choice).where(Image.crawl_job_id == job.crawl_job_id)
    labels = None if any_label else job.export_options.get("labels")
    if labels is not None:
        images = images.where(_LABEL.in_(labels))
    return chosen(images, project, job.export_options.get("validation_job_id"))


async def divide(database: Database, job: ExportJob) -> Division | None:
    """How the images are divided, if that was asked for. Raises ExportError."""
    return await splits.divide(database, job, _chosen(job))


async def entries(
    database: Database, job: ExportJob, after: int, division: Division | None = None
) -> AsyncIterator[Entry]:
    """What the export packs behind this position, read in pages, each in a short transaction of its own.

    Images that are divided come split after split, others by id; those that were chosen too late for that not at all.
    """
    if division is not None:
        for places in division.pages(after):
            async with database.transaction() as session:
                query = _chosen(job).where(Image.id.in_([place.image_id for place in places]))
                found = {image.id: (image, choice) for image, choice in await session.execute(query)}
            for place in places:
                if place.image_id in found:
                    entry = _entry(*found[place.image_id])
                    yield replace(entry, position=place.position, split=place.split, group=place.group)
        return
    while True:
        async with database.transaction() as session:
            query = _chosen(job).where(Image.id > after).order_by(Image.id).limit(_PAGE)
            page = (await session.execute(query)).all()
        for image, choice in page:
            yield _entry(image, choice)
        if len(page) < _PAGE:
            return
        after = page[-1][0].id


def _entry(image: Image, choice: str | None) -> Entry:
    assert image.sha256 is not None
    assert image.format is not None
    assert image.width is not None
    assert image.height is not None
    assert image.file_size is not None
    file: dict[str, Any] = {
        "sha256": image.sha256.hex(),
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "file_size": image.file_size,
    }
    original = None
    if image.resized_sha256 is not None and image.filename == f"{image.resized_sha256.hex()}.jpg":
        original, file = (
            file,
            {
                "sha256": image.resized_sha256.hex(),
                "format": "jpeg",
                "width": image.resized_width,
                "height": image.resized_height,
                "file_size": image.resized_size,
            },
        )
    return Entry(
        position=image.id,
        key=blob_key(file["sha256"], file["format"]),
        **file,
        crc32=image.crc32,
        label=image.label or _UNLABELLED,
        pdq=image.pdq.hex() if image.pdq else None,
        source=image.source,
        original_url=image.original_url,
        source_page=image.page_url,
        title=image.title,
        creator=image.creator,
        creator_url=image.creator_url,
        licence=Licence(image.licence, image.licence_version, image.licence_url) if image.licence else None,
        attribution=image.attribution,
        fetched_at=image.fetched_at,
        decision=choice,
        metadata=image.metadata_ or {},
        original=original,
    )
