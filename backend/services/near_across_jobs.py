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
from gleanset.similar.index import Search

log = structlog.get_logger(__name__)

Sessions = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""Gives transactions: none is open while hashes are compared."""
_NOBODY = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Place:
    """Where the indexes of all projects lie; without a folder, one is made for the occasion from all rows.

    most: hashes that may be read for it.
    """

    folder: Path | None = None
    most: int | None = None


async def near_copies(
    sessions: Sessions, bench: Bench, pictures: Pictures, distance: int, place: Place
) -> Pairs | None:
    """Which of the pictures look like an image that belongs in an earlier job's dataset, and the first such image.

    None when more hashes would have to be read than may be.
    """
    async with sessions() as session:
        earlier = await earlier_jobs(session, bench)
        alive = set(await session.scalars(select(CrawlJob.id).filter_by(project_id=bench.project_id)))
    if not earlier or not len(pictures):
        return [], []
    index = await _index(sessions, bench, earlier, alive, distance, place)
    if index is None:
        return None
    rows = as_rows(np.ascontiguousarray(pictures["pdq"]))
    first, which = distinct(rows)
    hashes = rows[first].view(np.uint8)
    found = np.full(len(first), _NOBODY)
    stand = np.zeros(len(index), np.int64)  # of each place the first image that stands; 0: not looked up yet
    search = index.near(hashes, distance)
    while (pair := await asyncio.to_thread(_next, search)) is not None:
        queries, places = pair
        unseen = np.unique(places[stand[places] == 0])
        if len(unseen):
            async with sessions() as session:
                stand[unseen] = await _standing(session, bench, earlier, index, unseen)
        np.minimum.at(found, queries, stand[places])
    originals = found[which]
    near = np.flatnonzero(originals != _NOBODY)
    return pictures["id"][near].tolist(), originals[near].tolist()


def _next(search: Search) -> tuple[Numbers, Numbers] | None:
    return next(search, None)


async def _index(
    sessions: Sessions, bench: Bench, earlier: Sequence[Earlier], alive: set[int], distance: int, place: Place
) -> Index | None:
    """One that has all hashes of the earlier jobs, as it is kept from now on."""
    far = DISTANCE if distance <= DISTANCE else MOST_DISTANCE
    folder = place.folder and place.folder / f"{bench.project_id}-{far}"
    index = await asyncio.to_thread(Index.opened, folder, far) if folder else Index(far)
    anew = not index.marks.keys() <= alive  # hashes of a job that was deleted go with it
    if anew:
        index = Index(far)
    changed = [job for job in earlier if not job.mark or index.marks.get(job.id) != job.mark]
    if place.most is not None and sum(job.images for job in changed) > place.most:
        return None
    if not changed:
        return index
    async with sessions() as session:
        read = await pictures_of(session, [job.id for job in changed])
    batches = [Batch(job.id, job.mark, *_of_job(read, job.id)) for job in changed]
    if folder:
        try:
            extended = await asyncio.to_thread(Index.extended, folder, batches, far, anew=anew)
            if all(extended.marks.get(job.id) == job.mark for job in earlier):  # or another process has begun anew
                return extended
        except OSError as error:
            log.warning("the index of near-duplicates cannot be kept", folder=str(folder), error=str(error))
    await asyncio.to_thread(index.add, batches)
    return index


def _of_job(read: Pictures, job_id: int) -> tuple[Numbers, Pictures]:
    low, high = np.searchsorted(read["job"], [job_id, job_id + 1])
    return read["id"][low:high].astype(np.int64), np.ascontiguousarray(read["pdq"][low:high])


async def _standing(
    session: AsyncSession, bench: Bench, earlier: Sequence[Earlier], index: Index, places: Numbers
) -> Numbers:
    """For each place the first image that has its hash by now and belongs in its job's dataset."""
    entries = index.entries(places)
    mine = np.isin(entries.owners, [job.id for job in earlier])
    which, ids = entries.which[mine], entries.ids[mine]
    asked = Image.id == func.any(cast(np.unique(ids).tolist(), ARRAY(BigInteger)))
    query = select(Image.id, Image.pdq).where(asked, Image.pdq_quality >= SAYS_SOMETHING)
    hashes = {number: pdq for number, pdq in await session.execute(chosen_of(query, bench, earlier))}  # noqa: C416
    stand = np.full(len(places), _NOBODY)
    there = index.hashes(places)
    for n, number in zip(which.tolist(), ids.tolist(), strict=True):
        if hashes.get(number) == there[n].tobytes():
            stand[n] = min(stand[n], number)
    return stand
