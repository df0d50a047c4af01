"""Refreshes: what is known comes first and owns its URLs, and each row says what became of its image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backend.errors import BadInput, NotFound
from backend.models import CrawlChunk, CrawlJob
from backend.schemas.plans import CrawlPlan
from backend.services import crawl_jobs, reports
from backend.services.images import known_urls
from backend.services.refreshes import owned_urls
from backend.tasks.known import KnownSource
from gleanset.types import Downloaded, Failed, Known, Outcome, Query, Reason, Refused, ResizedFile
from tests.engine.sources.reading import assert_resumable, candidates, read
from tests.services.helpers import NOW, Place, candidate, downloaded, failed

WORDS = [Query(source="openverse", label=word, keyword=word) for word in ("cat", "dog")]


async def finished(place: Place, outcomes: list[Outcome], max_images: int = 100, **plan: Any) -> CrawlJob:
    """A completed job with these rows, in this order."""
    job, found = await place.asked(WORDS, max_images, **plan)
    for chunk, met in zip(found, (outcomes, []), strict=True):
        if (await place.job(job.id)).status == "running":
            held = await place.claim(chunk)
            await place.record(held, met, None, end=True)
            await place.end(held)
    return await place.job(job.id)


async def refreshed(
    place: Place, old: CrawlJob, max_images: int | None = None, rows: int = 10_000
) -> tuple[CrawlJob, list[CrawlChunk]]:
    async with place.database.transaction() as session:
        old = await crawl_jobs.finished(session, old.id)
        plan = CrawlPlan.model_validate(old.options)
        job = await crawl_jobs.refresh(
            session,
            old,
            plan,
            WORDS,
            max_images=max_images or old.max_images,
            rows_per_chunk=rows,
            user_id=place.owner_id,
        )
    return job, await place.chunks(job.id)


async def known(place: Place, chunk: CrawlChunk) -> dict[str, Any]:
    """Outcomes that bring what is known, by the candidates' titles."""
    query = Query(source=chunk.source, label=chunk.label, options=chunk.options)
    return {str(found.title): found for found in candidates(await read(KnownSource(place.database), query))}


def same(found: Any) -> Downloaded:
    had: Known = found.known
    return Downloaded(
        candidate=found, inspection=had.inspection, key=had.key, crc32=had.crc32, final_url=had.final_url,
        fetched_at=NOW,
    )  # fmt: skip


async def test_known_images_come_in_ranges_before_the_queries(place: Place) -> None:
    old = await finished(place, [*(downloaded(f"{n}") for n in range(25)), failed("x")], 40)
    job, found = await refreshed(place, old, rows=10)
    assert [(c.source, c.quota, c.options.get("count")) for c in found] == [
        ("known", None, 10), ("known", None, 10), ("known", None, 5), ("openverse", 8, None), ("openverse", 7, None),
    ]  # fmt: skip
    assert (job.project_id, job.keywords, job.max_images) == (old.project_id, old.keywords, 40)
    assert job.options == old.options | {"refresh_of": old.id}
    ranges = [await known(place, chunk) for chunk in found[:3]]
    assert [list(part) for part in ranges] == [
        [str(n) for n in numbers] for numbers in (range(10), range(10, 20), range(20, 25))
    ]
    assert (await place.claim(found[0])).limit is None


async def test_a_range_can_be_gone_on_with_from_each_page(place: Place) -> None:
    old = await finished(place, [downloaded(f"{n}") for n in range(450)], 500)
    _, [chunk, *_] = await refreshed(place, old)
    query = Query(source="known", label="known", options=chunk.options)
    assert [len(page.candidates) for page in await read(KnownSource(place.database), query)] == [200, 200, 50]
    await assert_resumable(KnownSource(place.database), query)


async def test_a_known_candidate_is_what_the_row_says(place: Place) -> None:
    had = replace(
        downloaded("a", brightness=0.5, contrast=0.25), etag='"v1"', last_modified="Sat, 02 May 2026 10:00:00 GMT",
        resized=ResizedFile(width=32, height=24, file_size=900, sha256="ab" * 32), crc32=0xFFFF_FFFF,
    )  # fmt: skip
    bare = replace(downloaded("b"), candidate=candidate("b", licence=None, metadata={}, keyword=None, creator=None))
    old = await finished(place, [had, bare])
    _, [chunk, *_] = await refreshed(place, old)
    found = await known(place, chunk)
    remembered = Known(
        inspection=had.inspection, key=had.key, crc32=had.crc32, resized=had.resized, final_url=had.final_url,
        etag=had.etag, last_modified=had.last_modified,
    )  # fmt: skip
    assert found["a"] == replace(had.candidate, known=remembered)
    assert replace(found["b"], known=None) == bare.candidate
    assert found["b"].known.crc32 is None


async def test_each_row_says_what_became_of_the_image(place: Place) -> None:
    old = await finished(place, [*(downloaded(f"{n}") for n in range(9)), failed("then")])
    job, [chunk, query, other] = await refreshed(place, old)
    found = await known(place, chunk)

    def refused(number: int, reason: Reason) -> Refused:
        return Refused(candidate=found[str(number)], reason=reason, detail="", fetched_at=NOW)

    held = await place.claim(chunk)
    await place.record(held, [
        same(found["0"]), replace(downloaded("other bytes"), candidate=found["1"]),
        Failed(candidate=found["2"], reason=Reason.NOT_FOUND, detail="", fetched_at=NOW),
        Failed(candidate=found["3"], reason=Reason.TIMEOUT, detail="", fetched_at=NOW),
        refused(4, Reason.ROBOTS), refused(5, Reason.OPT_OUT_HEADER), refused(6, Reason.OPT_OUT_TDM),
        refused(7, Reason.OPT_OUT_AIPREF), refused(8, Reason.NOT_AN_IMAGE),
    ], None, end=True)  # fmt: skip
    await place.end(held)
    for one, outcomes in ((query, [downloaded("fresh"), failed("never")]), (other, [downloaded("then")])):
        held = await place.claim(one)
        await place.record(held, outcomes, None, end=True)
        await place.end(held)
    rows = await place.rows("SELECT title, change FROM images WHERE crawl_job_id = %(job)s ORDER BY id", job=job.id)
    out = "opted_out"
    assert [change for _, change in rows] == [
        "unchanged", "changed", "dead", "lost", out, out, out, out, "lost", "new", None, "new",
    ]  # fmt: skip
    async with place.database.transaction() as session:
        now = await reports.report(session, job.id)
    assert (now.status, now.plan.refresh_of) == ("completed", old.id)
    assert now.changes == {"opted_out": 4, "lost": 2, "new": 2, "changed": 1, "dead": 1, "unchanged": 1}
    assert await place.rows("SELECT DISTINCT change FROM images WHERE crawl_job_id = %(job)s", job=old.id) == [(None,)]


async def test_queries_leave_known_urls_to_their_range(place: Place) -> None:
    old = await finished(place, [downloaded("a"), failed("b")])
    job, _ = await refreshed(place, old)
    # What the old job gathers later belongs to no range: the refresh may find it by itself.
    await place.rows_of_nothing(
        "INSERT INTO images (crawl_job_id, original_url, outcome)"
        f" VALUES ({old.id}, 'https://example.org/late', 'downloaded')"
    )
    asked = [candidate(name) for name in ("a", "b", "late", "c")]
    async with place.database.transaction() as session:
        assert await known_urls(session, job.id, asked) == set()
        assert await owned_urls(session, job.id, old.id, asked) == {asked[0].url}


async def test_the_queries_get_what_the_dead_leave(place: Place) -> None:
    old = await finished(place, [downloaded(f"{n}") for n in range(6)], 6)
    job, [chunk, *queries] = await refreshed(place, old)
    for query in queries:
        asked = await place.claim(query)
        assert asked.limit == 0
        await place.end(asked)
    found = await known(place, chunk)
    held = await place.claim(chunk)
    gone = [Failed(candidate=found[n], reason=Reason.NOT_FOUND, detail="", fetched_at=NOW) for n in "05"]
    assert await place.record(held, [*gone, *(same(found[n]) for n in "1234")], None, end=True)
    await place.end(held)
    assert (await place.job(job.id)).status == "running"
    assert [(await place.claim(query)).limit for query in queries] == [1, 1]


async def test_known_copies_are_visited_although_the_job_is_full(place: Place) -> None:
    twin = downloaded("a").inspection.sha256
    old = await finished(place, [downloaded("a"), downloaded("twin", sha256=twin), downloaded("b")], 2)
    assert (old.downloaded_images, old.distinct_images) == (3, 2)
    job, [chunk, *queries] = await refreshed(place, old)
    assert [query.quota for query in queries] == [0, 0]
    found = await known(place, chunk)
    held = await place.claim(chunk)
    assert await place.record(held, [same(found["a"]), same(found["b"])], "1")
    assert await place.record(held, [same(found["twin"])], None, end=True) is True
    assert (await place.job(job.id)).status == "running"
    await place.end(held)
    for query in queries:
        await place.end(await place.claim(query))
    job = await place.job(job.id)
    assert (job.status, job.downloaded_images, job.distinct_images) == ("completed", 3, 2)


async def test_a_smaller_limit_takes_the_oldest(place: Place) -> None:
    twin = downloaded("0").inspection.sha256
    old = await finished(place, [downloaded("0"), downloaded("twin", sha256=twin), downloaded("1"), downloaded("2")])
    _, found = await refreshed(place, old, max_images=2)
    assert list(await known(place, found[0])) == ["0", "twin", "1"]
    assert [chunk.quota for chunk in found] == [None, 0, 0]


async def test_a_job_that_had_nothing_is_only_asked_again(place: Place) -> None:
    old = await finished(place, [failed("a")])
    _, found = await refreshed(place, old)
    assert [(chunk.source, chunk.quota) for chunk in found] == [("openverse", 50), ("openverse", 50)]


async def test_only_a_finished_job_is_refreshed(place: Place) -> None:
    job, _ = await place.started()
    async with place.database.transaction() as session:
        with pytest.raises(BadInput, match=f"Crawl job {job.id} is still running"):
            await crawl_jobs.finished(session, job.id)
        with pytest.raises(NotFound):
            await crawl_jobs.finished(session, 999)
        await crawl_jobs.cancel(session, job.id, user_id=None)
        assert (await crawl_jobs.finished(session, job.id)).id == job.id
