"""Exports that are to lie at a place of the person's own: in an object store, or on the disk of who asked.

A worker puts an export into an object store before the job is completed. A path is one of the machine whose command
line asked for it, so that puts it there when the job is completed, from the file among the exports.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import ExportJob
from backend.models.enums import Delivery, JobStatus
from backend.services.states import announce, locked
from gleanset.errors import ExportError
from gleanset.export import Packed

PACKED_PERCENT = 50
"""Of an export that is sent when it is packed."""


class TakenDown(ExportError):
    """Images that an export packs, or has packed, were taken down before it was done."""


def destination(job: ExportJob) -> str | None:
    """Where it was asked for: a path, or the address of a place in an object store."""
    return job.export_options.get("out")


def remote(job: ExportJob) -> bool:
    """Whether that is an object store, so that a worker puts it there."""
    return "://" in (destination(job) or "")


def delivered(job: ExportJob) -> str | None:
    """Where Gleanset has put a copy of it that is the person's own."""
    return destination(job) if job.delivery == Delivery.DONE else None


def is_waiting(job: ExportJob) -> bool:
    """Whether it is packed, and does not lie where it was asked for."""
    return job.status == JobStatus.COMPLETED and job.delivery == Delivery.WANTED


def check_not_taken_down(job: ExportJob) -> None:
    """Raises TakenDown when the locked job may hold images that were taken down since this attempt at it began."""
    if job.taken_down_images:
        raise TakenDown(f"Images were taken down meanwhile. Without them: gleanset exports retry {job.id}")


async def begin(session: AsyncSession, job_id: int, attempt: int, packed: Packed) -> bool | None:
    """Note that bytes go out, so that an attempt behind this one goes on. None when this one has lost the job;
    otherwise whether all that attempts before have sent is of these bytes. If not, no bytes are noted until all that
    is deleted and `bring` says so: who is killed between the two leaves what is not trusted. Raises TakenDown."""
    job = await locked(session, ExportJob, job_id)
    if job.status != JobStatus.RUNNING or job.attempts != attempt:
        return None
    check_not_taken_down(job)
    same = job.delivery == Delivery.BEGUN and job.sha256 == bytes.fromhex(packed.sha256)
    job.delivery = Delivery.BEGUN.value
    if not same:
        job.sha256 = None
    job.exported_images, job.file_size = packed.images, packed.file_size
    await announce(session, job.crawl_job_id)
    return same


async def bring(session: AsyncSession, job_id: int, attempt: int, packed: Packed) -> bool:
    """Note which bytes go out, now that no others are there; whether the task may go on."""
    job = await locked(session, ExportJob, job_id)
    if job.status != JobStatus.RUNNING or job.attempts != attempt:
        return False
    job.sha256 = bytes.fromhex(packed.sha256)
    return True


async def progress(session: AsyncSession, job_id: int, attempt: int, sent: int) -> bool:
    """Note how many bytes are there; whether the task may go on. Raises TakenDown."""
    job = await locked(session, ExportJob, job_id)
    if job.status != JobStatus.RUNNING or job.attempts != attempt:
        return False
    check_not_taken_down(job)
    job.progress = min(99, PACKED_PERCENT + (100 - PACKED_PERCENT) * sent // max(1, job.file_size or 0))
    await announce(session, job.crawl_job_id)
    return True


async def done(session: AsyncSession, job_id: int) -> None:
    """Note that a completed export lies where it was asked for."""
    job = await locked(session, ExportJob, job_id)
    job.delivery = Delivery.DONE.value
    await announce(session, job.crawl_job_id)


async def waiting(session: AsyncSession, crawl_job_id: int) -> Sequence[ExportJob]:
    """The crawl job's exports that are packed, and do not lie where they were asked for."""
    query = select(ExportJob).where(
        ExportJob.crawl_job_id == crawl_job_id,
        ExportJob.status == JobStatus.COMPLETED.value,
        ExportJob.delivery == Delivery.WANTED.value,
    )
    return (await session.scalars(query.order_by(ExportJob.id))).all()
