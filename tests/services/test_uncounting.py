"""Counters of chunks when images are taken down: the sums that are shown stay those of the images."""

from __future__ import annotations

from dataclasses import replace

from backend.services import takedowns
from gleanset.types import Downloaded, Query
from tests.services.helpers import Place, candidate, downloaded

SUMS = """
    SELECT source, label, sum(downloaded_images), sum(duplicate_images), sum(bytes),
        sum(coalesce(CAST(reasons ->> 'taken_down' AS bigint), 0))
    FROM crawl_chunks GROUP BY source, label ORDER BY source
"""
IMAGES = """
    SELECT source, label, count(*) FILTER (WHERE outcome = 'downloaded'),
        coalesce(sum(file_size) FILTER (WHERE outcome = 'downloaded'), 0), count(*) FILTER (WHERE reason = 'taken_down')
    FROM images GROUP BY source, label ORDER BY source
"""


def listed(name: str, **measures: object) -> Downloaded:
    """From a list, whose chunks all have the same source and label."""
    return replace(downloaded(name, **measures), candidate=candidate(name, source="urls", label="dog", keyword=None))


async def test_sums_stay_true(place: Place) -> None:
    cats = Query(source="openverse", label="cat", keyword="cat")
    dogs = [Query(source="urls", label="dog", options={"count": 2}) for _ in range(2)]
    job, parts = await place.asked([cats, *dogs])
    held = [await place.claim(chunk) for chunk in parts]
    twin, other = downloaded("b").inspection.sha256, downloaded("e").inspection.sha256
    await place.record(held[0], [downloaded("a"), downloaded("b", file_size=7)])
    await place.record(held[1], [listed("c", file_size=100), listed("d", sha256=twin, file_size=7)])
    await place.record(held[2], [listed("e", file_size=30), listed("f", file_size=1), listed("g", file_size=2)])
    async with place.database.transaction() as session:
        await takedowns.take_down(session, url=None, sha256=bytes.fromhex(twin), user_id=None)
        await takedowns.take_down(session, url=None, sha256=bytes.fromhex(other), user_id=None)
    sums = await place.rows(SUMS)
    assert [(*row[:3], *row[4:]) for row in sums] == await place.rows(IMAGES)
    job = await place.job(job.id)
    assert (sum(row[2] for row in sums), sum(row[3] for row in sums)) == (job.downloaded_images, job.duplicate_images)
    assert (job.downloaded_images, job.duplicate_images) == (4, 0)
