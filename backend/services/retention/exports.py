"""Files of exports: those that have expired, and those that belong to no export."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import ColumnElement, func, select

from backend.db import Database
from backend.errors import NotFound
from backend.models import ExportJob
from backend.models.enums import JobStatus
from backend.services.activity import note
from backend.services.exports import discard, file_of
from backend.services.states import announce, locked

_NAME = re.compile(r"export-(?P<job>\d{1,10})\..+")


async def expired_exports(database: Database, folder: Path, *, dry_run: bool) -> int:
    """Mark exports that have expired as gone, and then delete their files; how many."""
    async with database.transaction() as session:
        found = (await session.scalars(select(ExportJob.id).where(*_expired()).order_by(ExportJob.id))).all()
    if dry_run:
        return len(found)
    expired = [job for job in [await _expire(database, job_id) for job_id in found] if job is not None]
    for job in expired:  # behind the commits: a file without its mark would be offered and not be there
        await asyncio.to_thread(discard, file_of(folder, job))
    return len(expired)


async def _expire(database: Database, job_id: int) -> ExportJob | None:
    """The export, marked; None when somebody has deleted it meanwhile."""
    try:
        async with database.transaction() as session:
            job = await locked(session, ExportJob, job_id)
            job.download_url = None
            note(session, None, "export_job.expired", job, ("there", "expired"), name=job.name)
            await announce(session, job.crawl_job_id)
            return job
    except NotFound:
        return None


def _expired() -> tuple[ColumnElement[bool], ...]:
    """Too old, or with images that were taken down."""
    there = ExportJob.download_url.is_not(None)
    over = (ExportJob.expires_at < func.now()) | (ExportJob.taken_down_images > 0)
    return ExportJob.status == JobStatus.COMPLETED.value, there, over


@dataclass(frozen=True, slots=True)
class _Found:
    """`part`: the folder in which an export grows."""

    path: Path
    job_id: int
    part: bool


async def stray_files(database: Database, folder: Path, before: datetime, *, dry_run: bool) -> int:
    """Delete what exports that were deleted, or processes that were killed, have left there; how many files."""
    found = await asyncio.to_thread(_old_files, folder, before)
    numbers = {each.job_id for each in found if each.job_id < 2**31}
    async with database.transaction() as session:
        query = select(ExportJob.id, ExportJob.status, ExportJob.download_url).where(ExportJob.id.in_(numbers))
        jobs = {row.id: row for row in await session.execute(query)}
    going_on = {number for number, row in jobs.items() if row.status in {JobStatus.PENDING, JobStatus.RUNNING}}
    offered = {number for number, row in jobs.items() if row.download_url is not None}
    stray = [each.path for each in found if each.job_id not in (going_on if each.part else going_on | offered)]
    if not dry_run:
        await asyncio.to_thread(_remove, stray)
    return len(stray)


def _old_files(folder: Path, before: datetime) -> list[_Found]:
    found: list[_Found] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        named = _NAME.fullmatch(path.name)
        if named and _last_written(path) < before:
            found.append(_Found(path, int(named["job"]), path.suffix == ".part"))
    return found


def _last_written(path: Path) -> datetime:
    """Of a folder with its files: an export that goes on for a day writes into files that it has opened at first."""
    times = [path.stat().st_mtime]
    if path.is_dir():
        times += [file.stat().st_mtime for file in path.iterdir()]
    return datetime.fromtimestamp(max(times), UTC)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        discard(path)
