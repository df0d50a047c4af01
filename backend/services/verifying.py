"""The rule that reads files again: which files, and what it means when they are not as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import Image, ValidationJob, Verdict
from backend.models.enums import ImageOutcome, JobStatus
from backend.services.judging import bench_of, mark
from backend.services.states import announce, locked
from gleanset.rules import FILE_DAMAGED, FILE_MISSING
from gleanset.store import blob_key

BEGINS = 10
"""Percent of a validation that are over when every image is judged by its measures."""
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Files:
    """The keys of an image in the store: of its original, its resized copy, or both."""

    image_id: int
    keys: tuple[str, ...]


async def next_files(session: AsyncSession, validation_job_id: int, after: int) -> list[Files]:
    """Those of the next images that are valid until now."""
    query = select(Image.id, Image.filename, Image.resized_sha256).join(Verdict, Verdict.image_id == Image.id)
    query = query.where(Verdict.validation_job_id == validation_job_id, Verdict.valid, Verdict.image_id > after)
    query = query.where(Image.outcome == ImageOutcome.DOWNLOADED.value)
    rows = await session.execute(query.order_by(Verdict.image_id).limit(_PAGE))
    return [Files(number, _keys(filename, resized)) for number, filename, resized in rows]


def _keys(filename: str | None, resized: bytes | None) -> tuple[str, ...]:
    kept = [f"{filename[:2]}/{filename}"] if filename else []
    if resized is not None:
        kept.append(blob_key(resized.hex(), "jpeg"))
    return tuple(dict.fromkeys(kept))


def verdict(files: Files, hashes: Mapping[str, str | None]) -> str | None:
    """What is wrong with files whose bytes hash so now: a reason code, or None."""
    found = [(key.rpartition("/")[2].partition(".")[0], hashes[key]) for key in files.keys]
    if not found or any(now is None for _, now in found):
        return FILE_MISSING
    return FILE_DAMAGED if any(now != then for then, now in found) else None


async def mark_files(session: AsyncSession, validation_job_id: int, broken: Mapping[int, str], verified: int) -> bool:
    """Write down what is wrong with images, by their ids, when so many were looked at; whether to go on."""
    job = await locked(session, ValidationJob, validation_job_id)
    if job.status != JobStatus.RUNNING:
        return False
    bench = await bench_of(session, job)
    for code in (FILE_MISSING, FILE_DAMAGED):
        ids: Sequence[int] = [number for number, reason in broken.items() if reason == code]
        if ids:
            images = "SELECT unnest(CAST(:ids AS bigint[])) AS id, CAST(NULL AS bigint) AS original"
            job.invalid_images += await mark(session, bench, code, images, ids=ids)
    job.progress = min(99, BEGINS + (99 - BEGINS) * verified // max(1, job.validated_images))
    await announce(session, job.crawl_job_id)
    return True
