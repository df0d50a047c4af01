"""How the images of an export are divided: found once, before the first is packed, and kept for later exports."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import nan
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ARRAY, LargeBinary, Select, any_, cast, delete, exists, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from backend.db import Database
from backend.errors import BadInput
from backend.models import CrawlJob, ExportJob, ExportSplit, Image, Project
from backend.models.enums import ImageOutcome, JobStatus
from backend.schemas.exports import FixedTest, SplitOptions, StoredOptions
from backend.services.states import locked
from gleanset.errors import ExportError
from gleanset.export.related import Traits, as_text, fingerprint, name_of, series_of
from gleanset.export.split import Assignment, Hashes, assign

_ROWS = 2000
_PAGE = 500
_TOGETHER = 10_000
_NOT_THERE = "None of the images of the fixed test set is in this dataset. Is it the test set of another one?"
_SPLIT_AT = 48
"""A position is the number of the split, and below this bit the image's id: it grows from split to split."""
Images = Select[*tuple[Any, ...]]
_print_of = lru_cache(10_000)(fingerprint)


@dataclass(frozen=True, slots=True)
class Division:
    """The images of an export as they are packed, split after split: 16 bytes an image."""

    names: tuple[str, ...]
    positions: NDArray[np.int64]
    groups: NDArray[np.uint64]

    @classmethod
    def of(cls, ids: NDArray[np.int64], made: Assignment) -> Division:
        """Without the images that are left out."""
        there = np.flatnonzero(made.split >= 0)
        positions = (made.split[there].astype(np.int64) << _SPLIT_AT) + ids[there]
        order = np.argsort(positions)
        return cls(made.names, positions[order], made.group[there][order])

    def pages(self, after: int) -> Iterator[list[Place]]:
        """What comes behind this position, in pages."""
        start = int(np.searchsorted(self.positions, after, "right"))
        for at in range(start, len(self.positions), _PAGE):
            yield [self._place(number) for number in range(at, min(at + _PAGE, len(self.positions)))]

    def _place(self, number: int) -> Place:
        position = int(self.positions[number])
        split, image_id = divmod(position, 1 << _SPLIT_AT)
        return Place(position, image_id, self.names[split], f"{int(self.groups[number]):016x}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one image goes; `group` in hexadecimal digits, as in the metadata."""

    position: int
    image_id: int
    split: str
    group: str


async def check(session: AsyncSession, owner_id: UUID, wanted: SplitOptions) -> None:
    """Raises BadInput for an export whose splits are to be kept, but that is not the owner's or was not split."""
    if isinstance(wanted.follow, int):
        await _check(session, owner_id, wanted.follow)
    fixed = wanted.fixed_test
    if fixed is not None and fixed.export_job_id is not None:
        await _check(session, owner_id, fixed.export_job_id, fixed.name)


async def check_there(session: AsyncSession, job: ExportJob, wanted: SplitOptions, images: Images) -> None:
    """Raises BadInput where none of the images of the query is in the fixed test set: it is that of something else."""
    fixed, ids = await _fixed(session, job, wanted), images.with_only_columns(Image.id).limit(1)
    if fixed is None or await session.scalar(ids) is None:
        return  # without images, the export itself will tell
    for start in range(0, len(fixed), _TOGETHER):
        some = [each.tobytes() for each in fixed[start : start + _TOGETHER]]
        if await session.scalar(ids.where(Image.sha256.in_(some))) is not None:
            return
    raise BadInput(_NOT_THERE, field="export_options.split.fixed_test")


async def settle(session: AsyncSession, job: ExportJob, project_id: int, wanted: SplitOptions) -> SplitOptions:
    """The same with numbers of exports: of the one that `latest` means, and of this one, which keeps hashes given."""
    follow, fixed = wanted.follow, wanted.fixed_test
    if follow == "latest":
        follow = await _latest(session, project_id, wanted) or "none"
    if fixed is not None and fixed.sha256 is not None:
        fixed = await _keep_given(session, job, fixed, fixed.sha256)
    return wanted.model_copy(update={"follow": follow, "fixed_test": fixed})


async def _check(session: AsyncSession, owner_id: UUID, export_job_id: int, name: str | None = None) -> None:
    query = select(ExportSplit.name).join(ExportJob).join(CrawlJob).join(Project)
    query = query.where(Project.user_id == owner_id, ExportJob.id == export_job_id, ~ExportSplit.given)
    names = (await session.scalars(query.where(ExportJob.status == JobStatus.COMPLETED.value))).all()
    if not names:
        raise BadInput(f"There is no finished export {export_job_id} of yours that was split.")
    if name is not None and name not in names:
        raise BadInput(f"The export {export_job_id} has no split {name!r}. It has: {', '.join(sorted(names))}.")


async def _latest(
    session: AsyncSession, project_id: int | None, wanted: SplitOptions, before: int | None = None
) -> int | None:
    """The project's latest export that was divided by the same options, or the latest `before` another."""
    same = wanted.model_dump(mode="json", exclude_defaults=True, exclude={"follow", "fixed_test"})
    split = ExportJob.export_options["split"].op("-")("follow").op("-")("fixed_test")
    query = select(ExportJob.id).join(CrawlJob).where(
        CrawlJob.project_id == project_id,
        ExportJob.status == JobStatus.COMPLETED.value,
        cast(split, JSONB) == cast(same, JSONB),
        exists().where(ExportSplit.export_job_id == ExportJob.id, ~ExportSplit.given),
    )  # fmt: skip
    if before is not None:
        query = query.where(ExportJob.id < before)
    return await session.scalar(query.order_by(ExportJob.id.desc()).limit(1))


async def _keep_given(session: AsyncSession, job: ExportJob, fixed: FixedTest, hashes: Collection[str]) -> FixedTest:
    """Keep the hashes of a fixed test set with the export.

    Copies that were packed in the place of originals have hashes of their own: those count as their originals.
    """
    given = {bytes.fromhex(each) for each in hashes}
    copies = select(Image.sha256).where(
        Image.crawl_job_id == job.crawl_job_id,
        Image.resized_sha256 == any_(cast(list(given), ARRAY(LargeBinary))),
        Image.outcome == ImageOutcome.DOWNLOADED.value,
    )
    given |= {each for each in await session.scalars(copies) if each is not None}
    session.add(ExportSplit(export_job_id=job.id, name=fixed.name, given=True, hashes=b"".join(sorted(given))))
    await session.flush()
    return FixedTest(export_job_id=job.id, name=fixed.name)


async def divide(database: Database, job: ExportJob, images: Images) -> Division | None:
    """Divide the images of the query, if the export asks for that, and keep how; None also when it was cancelled.

    A second run of the task keeps to what the first has found.
    """
    wanted = StoredOptions.model_validate(job.export_options).split
    if wanted is None:
        return None
    async with database.transaction() as session:
        ids, traits = await _read(session, images)
        earlier, fixed = await _to_keep(session, job, wanted, traits.sha256)
    made = await asyncio.to_thread(assign, traits, wanted.plan(), earlier=earlier, fixed=fixed)
    async with database.transaction() as session:
        await _keep(session, job, made, traits.sha256)
    return await asyncio.to_thread(Division.of, ids, made)


async def _read(session: AsyncSession, images: Images) -> tuple[NDArray[np.int64], Traits]:
    """The ids and traits of all images, in the order of their ids."""
    ids, labels, series, names = array("q"), array("Q"), array("Q"), array("Q")
    sha256, pdq, quality, measures = bytearray(), bytearray(), bytearray(), array("f")
    columns = (Image.id, Image.sha256, Image.label, Image.source, Image.creator, Image.creator_url, Image.pdq,
               Image.pdq_quality, Image.brightness, Image.contrast, Image.colour)  # fmt: skip
    query = images.with_only_columns(*columns).order_by(Image.id)
    found = await session.stream(query.execution_options(yield_per=_ROWS))
    async for rows in found.partitions():
        for number, digest, label, source, creator, creator_url, seen, seen_well, *measured in rows:
            ids.append(number)
            assert digest is not None
            sha256 += digest
            labels.append(_print_of(label or ""))
            series.append(series_of(source, creator, creator_url))
            names.append(name_of(source, creator))
            pdq += seen or bytes(32)
            quality.append(min(100, seen_well or 0) if seen else 0)
            measures.extend(nan if each is None or not seen else each for each in measured)
        await asyncio.sleep(0)
    return np.array(ids, np.int64), Traits(
        sha256=np.frombuffer(sha256, np.uint8).reshape(-1, 32),
        label=np.array(labels, np.uint64),
        series=np.array(series, np.uint64),
        name=np.array(names, np.uint64),
        pdq=np.frombuffer(pdq, np.uint8).reshape(-1, 32),
        pdq_quality=np.frombuffer(quality, np.uint8),
        measures=np.array(measures, np.float32).reshape(-1, 3),
    )


async def _to_keep(
    session: AsyncSession, job: ExportJob, wanted: SplitOptions, images: Hashes
) -> tuple[Mapping[str, Hashes], Hashes | None]:
    """Where earlier versions had the images, and the fixed test set. Raises ExportError when they are gone."""
    earlier = await _splits(session, job.id)
    if not earlier and isinstance(wanted.follow, int):
        earlier = await _followed(session, wanted, wanted.follow, images)
    fixed = await _fixed(session, job, wanted)
    if fixed is not None and len(images) and not np.isin(as_text(images), as_text(fixed)).any():
        raise ExportError(_NOT_THERE)
    return earlier, fixed


async def _fixed(session: AsyncSession, job: ExportJob, wanted: SplitOptions) -> Hashes | None:
    """The images of the fixed test set. Raises ExportError when they are gone."""
    if wanted.fixed_test is None or wanted.fixed_test.export_job_id is None:
        return None
    number, name = wanted.fixed_test.export_job_id, wanted.fixed_test.name
    fixed = (await _splits(session, number, given=number == job.id)).get(name)
    if fixed is None:
        raise ExportError(f"The export {number}, whose test set this one is to keep, was deleted.")
    return fixed


async def _followed(
    session: AsyncSession, wanted: SplitOptions, export_job_id: int, images: Hashes
) -> Mapping[str, Hashes]:
    """Where the images were in the export, and the rest of them in the one that it has followed, and so on.

    In the place of one that was deleted stands the latest before it. An export may have other images than the one
    before: those of another job, or of some labels. So who follows it keeps to all versions there were, and of two that
    differ to the later.
    """
    found: dict[str, Hashes] = {}
    missing = np.unique(as_text(images))
    project_id = await session.scalar(select(CrawlJob.project_id).join(ExportJob).where(ExportJob.id == export_job_id))
    number: object = export_job_id
    while isinstance(number, int) and len(missing):
        splits = await _splits(session, number)
        if not splits:
            if number == export_job_id:
                raise ExportError(f"The export {number}, whose splits this one is to keep, was deleted.")
            number = await _latest(session, project_id, wanted, before=number)
            continue
        for name, hashes in splits.items():
            here = hashes[np.isin(as_text(hashes), missing)]
            found[name] = np.concatenate([found[name], here]) if name in found else here
            missing = np.setdiff1d(missing, as_text(here), assume_unique=True)
        number = await session.scalar(select(ExportJob.export_options["split"]["follow"]).where(ExportJob.id == number))
    return found


async def _splits(session: AsyncSession, export_job_id: int, *, given: bool = False) -> dict[str, Hashes]:
    query = select(ExportSplit.name, ExportSplit.hashes).filter_by(export_job_id=export_job_id, given=given)
    return {name: np.frombuffer(hashes, np.uint8).reshape(-1, 32) for name, hashes in await session.execute(query)}


async def _keep(session: AsyncSession, job: ExportJob, made: Assignment, sha256: Hashes) -> None:
    now = await locked(session, ExportJob, job.id)
    if now.status != JobStatus.RUNNING or now.attempts != job.attempts:
        return  # progress() will tell the task so
    await session.execute(delete(ExportSplit).filter_by(export_job_id=job.id, given=False))
    for number, name in enumerate(made.names):
        hashes = await asyncio.to_thread(_sorted, sha256[made.split == number])
        session.add(ExportSplit(export_job_id=job.id, name=name, given=False, hashes=hashes))
        await session.flush()
    now.splits, now.left_out_images = made.counts(), made.left_out
    now.moved_images = max(now.moved_images, made.moved)  # a second run finds all where the first has put it
    now.total_images -= made.left_out


def _sorted(hashes: Hashes) -> bytes:
    return np.unique(np.ascontiguousarray(hashes).view("S32")).tobytes() if len(hashes) else b""
