"""The rule about near-duplicates: of pictures that look alike the best stays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncSession

from backend import queue
from backend.services.judging import Bench, mark
from gleanset.rules import EXACT_DUPLICATE, NEAR_DUPLICATE
from gleanset.similar import groups
from gleanset.sources.licence import OPENNESS

Pictures = NDArray[Any]
"""Records with an `id` and a `pdq`, the best first; 50 bytes each."""
Worse = tuple[list[int], list[int]]
"""The ids of images, and of those that stand for them."""

SAYS_SOMETHING = 50
"""The quality from which on PDQ's authors trust a hash."""

# A row as COPY sends it in its binary form: the number of columns, then each with its length before it.
_ID, _PDQ = [("of_id", ">i4"), ("id", ">i8")], [("of_pdq", ">i4"), ("pdq", np.uint8, 32)]
_ROW = np.dtype([("columns", ">i2"), *_ID, *_PDQ])
_ROW_OF_JOB = np.dtype([("columns", ">i2"), *_ID, ("of_job", ">i4"), ("job", ">i4"), *_PDQ])
_HEADER, _TRAILER = 19, 2

# Who is not in the dataset takes nobody's place in it; who is there by a person's choice comes first.
_CHOSEN = """
    COPY (
        SELECT i.id, i.pdq
        FROM {verdicts} AS v JOIN images AS i ON i.id = v.image_id
        LEFT JOIN decisions AS d ON d.project_id = {project} AND d.sha256 = i.sha256
        WHERE v.validation_job_id = {validation_job} AND d.choice IS DISTINCT FROM 'reject'
            AND (v.valid OR d.choice = 'keep' AND NOT {copy} = ANY (v.reasons))
            AND i.pdq IS NOT NULL AND i.pdq_quality >= {quality}
        ORDER BY d.choice NULLS LAST, CAST(i.width AS bigint) * i.height DESC NULLS LAST, i.sharpness DESC NULLS LAST,
            array_position({openness}, CAST(i.licence AS text)), i.id
    ) TO STDOUT (FORMAT BINARY)
"""

_OF_JOBS = """
    COPY (
        SELECT id, crawl_job_id, pdq FROM images
        WHERE crawl_job_id = ANY ({jobs}) AND outcome = 'downloaded' AND pdq IS NOT NULL AND pdq_quality >= {quality}
        ORDER BY crawl_job_id
    ) TO STDOUT (FORMAT BINARY)
"""


async def chosen_pictures(session: AsyncSession, bench: Bench) -> Pictures:
    """The images that are in the dataset until now and have a hash that tells something."""
    query = sql.SQL(_CHOSEN).format(
        verdicts=sql.Identifier(bench.table.name),
        project=sql.Literal(bench.project_id),
        validation_job=sql.Literal(bench.validation_job_id),
        copy=sql.Literal(EXACT_DUPLICATE),
        quality=sql.Literal(SAYS_SOMETHING),
        openness=sql.Literal(list(OPENNESS)),
    )
    return await _copied(session, query, _ROW)


async def pictures_of(session: AsyncSession, crawl_job_ids: Sequence[int]) -> Pictures:
    """All images of some jobs that have a hash that tells something, with their `job`, in its order."""
    query = sql.SQL(_OF_JOBS).format(jobs=sql.Literal(list(crawl_job_ids)), quality=sql.Literal(SAYS_SOMETHING))
    return await _copied(session, query, _ROW_OF_JOB)


async def _copied(session: AsyncSession, query: sql.Composed, row: np.dtype[Any]) -> Pictures:
    connection = await queue.psycopg_connection(session)
    data = bytearray()
    async with connection.cursor() as cursor, cursor.copy(query) as copy:
        async for block in copy:
            data += block
    return np.frombuffer(data, row, offset=_HEADER, count=(len(data) - _HEADER - _TRAILER) // row.itemsize)


async def worse_ones(pictures: Pictures, distance: int) -> Worse:
    """Of the pictures that hang together all but the best; in a thread, as it takes a while."""
    first = await asyncio.to_thread(groups, pictures["pdq"], distance)
    worse = np.flatnonzero(first != np.arange(len(first)))
    return pictures["id"][worse].tolist(), pictures["id"][first[worse]].tolist()


async def mark_worse_ones(session: AsyncSession, bench: Bench, worse: Worse) -> int:
    """Write it down; how many images were valid until then."""
    rows = "SELECT * FROM unnest(CAST(:worse AS bigint[]), CAST(:originals AS bigint[])) AS each (id, original)"
    return await mark(session, bench, NEAR_DUPLICATE, rows, worse=worse[0], originals=worse[1])
