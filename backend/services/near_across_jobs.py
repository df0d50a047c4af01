"""Near-duplicates of what earlier jobs of the project have, found by an index of their hashes that is kept in a folder.

The index is only a shortcut. A job's hashes are read into it when they are first asked for, and again when the job has
changed since, so it has all there are; and whatever it finds is looked up in the rows, so what has gone meanwhile,
or does not belong in its dataset, stands for nothing. A folder that is lost, damaged or on another machine costs the
time to read the rows again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import structlog
from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, Image
from backend.services.across_jobs import Earlier, Pairs, chosen_of, earlier_jobs
from backend.services.judging import Bench
from backend.services.near_duplicates import SAYS_SOMETHING, Pictures, pictures_of
from gleanset.rules import MOST_DISTANCE
from gleanset.similar import DISTANCE, Batch, Index
from gleanset.similar.hashes import Numbers, as_rows, distinct

log = structlog.get_logger(__name__)

Sessions = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""Gives transactions: none is open while hashes are compared."""
Given = ParamSpec("Given")
Result = TypeVar("Result")
_NOBODY = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Place:
    """Where the indexes of all projects lie; without a folder, one is made for the occasion from all rows.

    most, until: how many hashes may be read for it, and up to which time of the event loop it may take.
    """

    folder: Path | None = None
    most: int | None = None
    until: float | None = None


async def near_copies(
    sessions: Sessions, bench: Bench, pictures: Pictures, distance: int, place: Place
) -> Pairs | None:
    """Which of the pictures look like an image that belongs in an earlier job's dataset, and the first such image.

    None when that would take more than the place allows.
    """
    async with sessions() as session:
        earlier = await earlier_jobs(session, bench)
        alive = set(await session.scalars(select(CrawlJob.id).filter_by(project_id=bench.project_id)))
    if not earlier or not len(pictures):
        return [], []
    comparison = _Comparison(sessions, bench, earlier, place)
    try:
        return await comparison.pairs(await comparison.index(alive, distance), pictures, distance)
    except (TimeoutError, BlockingIOError):
        return None


@dataclass(frozen=True, slots=True)
class _Comparison:
    """With those jobs. Raises TimeoutError, and BlockingIOError when another process writes the index: whose time is
    short does not leave a thread behind that waits for it."""

    sessions: Sessions
    bench: Bench
    earlier: Sequence[Earlier]
    place: Place

    async def index(self, alive: set[int], distance: int) -> Index:
        """One that has all hashes of the earlier jobs, as it is kept from now on."""
        far = DISTANCE if distance <= DISTANCE else MOST_DISTANCE
        folder = self.place.folder and self.place.folder / f"{self.bench.project_id}-{far}"
        patient = self.place.until is None
        index = await self._in_thread(Index.opened, folder, far, wait=patient) if folder else Index(far)
        anew = not index.marks.keys() <= alive  # hashes of a job that was deleted go with it
        if anew:
            index = Index(far)
        changed = [job for job in self.earlier if not job.mark or index.marks.get(job.id) != job.mark]
        if self.place.most is not None and sum(job.images for job in changed) > self.place.most:
            raise TimeoutError
        if not changed:
            return index
        async with self.sessions() as session:
            read = await pictures_of(session, [job.id for job in changed])
        batches = [Batch(job.id, job.mark, *_of_job(read, job.id)) for job in changed]
        if folder:
            try:
                extended = await self._in_thread(Index.extended, folder, batches, far, anew=anew, wait=patient)
                if all(extended.marks.get(job.id) == job.mark for job in self.earlier):
                    return extended  # or else another process has begun it anew meanwhile
            except (TimeoutError, BlockingIOError):  # which are OSErrors
                raise
            except OSError as error:
                log.warning("the index of near-duplicates cannot be kept", folder=str(folder), error=str(error))
        await self._in_thread(index.add, batches)
        return index

    async def pairs(self, index: Index, pictures: Pictures, distance: int) -> Pairs:
        rows = as_rows(np.ascontiguousarray(pictures["pdq"]))
        first, which = distinct(rows)
        found = np.full(len(first), _NOBODY)
        stand = np.zeros(len(index), np.int64)  # of each place the first image that stands; 0: not looked up yet
        search = index.near(rows[first].view(np.uint8), distance)
        while (pair := await self._in_thread(next, search, None)) is not None:
            queries, places = pair
            unseen = np.unique(places[stand[places] == 0])
            if len(unseen):
                stand[unseen] = await self.standing(index, unseen)
            np.minimum.at(found, queries, stand[places])
        originals = found[which]
        near = np.flatnonzero(originals != _NOBODY)
        return pictures["id"][near].tolist(), originals[near].tolist()

    async def standing(self, index: Index, places: Numbers) -> Numbers:
        """For each place the first image that has its hash by now and belongs in its job's dataset."""
        entries = index.entries(places)
        mine = np.isin(entries.owners, [job.id for job in self.earlier])
        which, ids = entries.which[mine], entries.ids[mine]
        asked = Image.id == func.any(cast(np.unique(ids).tolist(), ARRAY(BigInteger)))
        query = select(Image.id, Image.pdq).where(asked, Image.pdq_quality >= SAYS_SOMETHING)
        async with self.sessions() as session:
            rows = await session.execute(chosen_of(query, self.bench, self.earlier))
            hashes = {number: pdq for number, pdq in rows}  # noqa: C416 - dict() of rows is not typed
        stand = np.full(len(places), _NOBODY)
        there = index.hashes(places)
        for n, number in zip(which.tolist(), ids.tolist(), strict=True):
            if hashes.get(number) == there[n].tobytes():
                stand[n] = min(stand[n], number)
        return stand

    async def _in_thread(self, work: Callable[Given, Result], *arguments: Given.args, **more: Given.kwargs) -> Result:
        """What took too long ends by itself in its thread, and nobody waits for it."""
        async with asyncio.timeout_at(self.place.until):
            return await asyncio.to_thread(work, *arguments, **more)


def _of_job(read: Pictures, job_id: int) -> tuple[Numbers, Pictures]:
    low, high = np.searchsorted(read["job"], [job_id, job_id + 1])
    return read["id"][low:high].astype(np.int64), np.ascontiguousarray(read["pdq"][low:high])
