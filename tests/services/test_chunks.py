"""The commit path: exact counters, exact limits, every URL once, and tasks that lost their chunk write nothing."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from sqlalchemy import text

from backend.services import chunks, crawl_jobs
from backend.services.allowances import Allowance
from backend.services.images import known_urls
from gleanset.types import Downloaded, Licence, Query, Reason, Refused
from tests.services.helpers import NOW, Place, candidate, downloaded, failed


async def test_a_batch_is_recorded_with_its_counters(place: Place) -> None:
    job, [chunk] = await place.started()
    held = await place.claim(chunk)
    outcomes = [
        downloaded("a"),
        failed("b"),
        Refused(candidate=candidate("c"), reason=Reason.TOO_LARGE, detail="99 bytes", fetched_at=NOW),
        failed("d"),
    ]
    assert await place.record(held, outcomes, "7")

    job = await place.job(job.id)
    assert (job.total_images, job.downloaded_images, job.progress, job.active_chunks) == (4, 1, 1, 1)
    [row] = await place.rows(
        "SELECT cursor, exhausted, total_images, downloaded_images, bytes, reasons FROM crawl_chunks"
    )
    assert row == ("7", False, 4, 1, 50_000, {"not_found": 2, "too_large": 1})
    stored = await place.rows(
        "SELECT original_url, outcome, reason, detail, licence, licence_version, filename, encode(sha256, 'hex'),"
        " width, label, keyword, metadata_, fetched_at FROM images ORDER BY original_url"
    )
    inspection = downloaded("a").inspection
    assert stored[0] == (
        "https://example.org/a", "downloaded", None, None, "by-sa", "4.0", f"{inspection.sha256}.jpg",
        inspection.sha256, 640, "cat", "cat", {"tags": ["a", "b"]}, NOW,
    )  # fmt: skip
    assert [row[1:4] for row in stored[1:]] == [
        ("failed", "not_found", "HTTP 404"),
        ("refused", "too_large", "99 bytes"),
        ("failed", "not_found", "HTTP 404"),
    ]


async def test_a_url_counts_once_in_a_batch_and_across_batches(place: Place) -> None:
    job, [first, second] = await place.started(queries=2)
    held, other = await place.claim(first), await place.claim(second)
    await place.record(held, [downloaded("a"), downloaded("a"), downloaded("b")])
    await place.record(other, [downloaded("b"), failed("a"), downloaded("c")])
    job = await place.job(job.id)
    assert (job.total_images, job.downloaded_images) == (3, 3)
    urls = await place.rows("SELECT original_url FROM images ORDER BY 1")
    assert [url for (url,) in urls] == [f"https://example.org/{name}" for name in "abc"]


async def test_max_images_is_exact_and_ends_the_job(place: Place) -> None:
    job, [first, second] = await place.started(queries=2, max_images=5)
    held, other = await place.claim(first), await place.claim(second)
    assert held.limit + other.limit == 5
    await place.record(held, [downloaded("a"), failed("x"), downloaded("b"), downloaded("c")])
    assert not await place.record(other, [failed("y"), downloaded("d"), downloaded("e"), failed("z"), downloaded("f")])
    job = await place.job(job.id)
    assert (job.status, job.downloaded_images, job.total_images, job.progress) == ("completed", 5, 7, 100)
    assert (job.active_chunks, job.completed_chunks) == (0, 2)
    assert await place.rows("SELECT count(*) FROM images WHERE outcome = 'downloaded'") == [(5,)]
    assert not await place.record(held, [downloaded("late")])
    assert await place.rows("SELECT count(*) FROM images") == [(7,)]


async def test_concurrent_batches_keep_the_limit(place: Place) -> None:
    job, found = await place.started(queries=8, max_images=50)
    holds = [await place.claim(chunk) for chunk in found]
    await asyncio.gather(*(place.record(h, [downloaded(f"{h.chunk_id}-{n}") for n in range(20)]) for h in holds))
    job = await place.job(job.id)
    assert (job.status, job.downloaded_images, job.total_images) == ("completed", 50, 50)
    assert await place.rows("SELECT count(*) FROM images") == [(50,)]


async def test_a_task_that_lost_its_chunk_writes_nothing(place: Place) -> None:
    job, [chunk] = await place.started()
    lost = await place.claim(chunk)
    held = await place.claim(chunk)
    assert not await place.record(lost, [downloaded("a")], "1")
    await place.end(lost)
    assert await place.record(held, [downloaded("b")], "2")
    job = await place.job(job.id)
    assert (job.status, job.total_images, job.active_chunks) == ("running", 1, 1)


async def test_what_one_chunk_cannot_fill_is_handed_to_the_others(place: Place) -> None:
    job, found = await place.started(queries=2, max_images=10)
    poor, rich = [await place.claim(chunk) for chunk in found]
    assert (poor.limit, rich.limit) == (5, 5)
    await place.record(poor, [downloaded("a")], None, end=True)
    await place.end(poor)
    await place.record(rich, [downloaded(f"r{n}") for n in range(5)], "p2")
    await place.end(rich)
    job = await place.job(job.id)
    assert (job.status, job.completed_chunks) == ("running", 1)
    again = await place.claim(found[1])
    assert (again.limit, again.cursor) == (4, "p2")
    await place.record(again, [downloaded("s1")], None, end=True)
    await place.end(again)
    job = await place.job(job.id)
    assert (job.status, job.downloaded_images, job.completed_chunks) == ("completed", 7, 2)


async def test_a_part_that_failed_is_told_and_tried_again(place: Place) -> None:
    job, found = await place.started(queries=2)
    good, bad = [await place.claim(chunk) for chunk in found]
    await place.end(bad, "The service is away.")
    assert (await place.job(job.id)).status == "running"
    await place.record(good, [downloaded("a")], None, end=True)
    await place.end(good)
    job = await place.job(job.id)
    assert (job.status, job.failed_chunks, job.completed_chunks) == ("failed", 1, 1)
    assert job.error_message == "1 of 2 parts of the job failed, the first so: The service is away."
    async with place.database.transaction() as session:
        await crawl_jobs.retry(session, job.id, user_id=None)
    again = await place.claim(found[1])
    await place.record(again, [downloaded("b")], None, end=True)
    await place.end(again)
    job = await place.job(job.id)
    assert (job.status, job.error_message, job.failed_chunks, job.downloaded_images) == ("completed", None, 0, 2)


async def test_a_failed_part_does_not_matter_when_the_others_filled_the_job(place: Place) -> None:
    job, found = await place.started(queries=2, max_images=2)
    good, bad = [await place.claim(chunk) for chunk in found]
    await place.end(bad, "The service is away.")
    await place.record(good, [downloaded("a")], "1")
    await place.end(good)
    again = await place.claim(found[0])
    await place.record(again, [downloaded("b")], "2")
    assert (await place.job(job.id)).status == "completed"


async def test_a_label_makes_up_for_its_own_lack_first(place: Place) -> None:
    queries = [Query(source=source, label=label, keyword=label) for label in ("cat", "dog") for source in ("a", "b")]
    job, found = await place.asked(queries, max_images=20)
    holds = [await place.claim(chunk) for chunk in found]
    assert [held.limit for held in holds] == [5, 5, 5, 5]
    await place.record(holds[0], [downloaded("only")], None, end=True)
    for number, held in enumerate(holds[1:]):
        await place.record(held, [downloaded(f"{number} {n}") for n in range(5)], "2")
    for held in holds:
        await place.end(held)
    again = await place.claim(found[1])
    assert (again.query.label, again.query.source, again.limit) == ("cat", "b", 4)
    assert [chunk.status for chunk in await place.chunks(job.id)] == ["completed", "running", "completed", "completed"]


async def test_the_same_bytes_count_once(place: Place) -> None:
    job, [first, second] = await place.started(queries=2, max_images=4)
    held, other = await place.claim(first), await place.claim(second)
    same = downloaded("a").inspection.sha256
    await place.record(held, [downloaded("a"), downloaded("twin", sha256=same), downloaded("b")], "1")
    job = await place.job(job.id)
    assert (job.downloaded_images, job.duplicate_images, job.distinct_images, job.progress) == (3, 1, 2, 50)
    await place.record(
        other, [downloaded("third", sha256=same), downloaded("c"), downloaded("d"), downloaded("e")], "1"
    )
    job = await place.job(job.id)
    assert (job.status, job.downloaded_images, job.duplicate_images) == ("completed", 6, 2)
    assert await place.rows("SELECT count(*), count(DISTINCT sha256) FROM images") == [(6, 4)]
    assert [(c.downloaded_images, c.duplicate_images) for c in await place.chunks(job.id)] == [(3, 1), (3, 1)]


async def test_a_picture_that_is_there_a_thousand_times_is_looked_up_once(place: Place) -> None:
    """The picture that stands for one that is not available comes in every batch."""
    _, [chunk] = await place.started(max_images=5_000)
    held = await place.claim(chunk)
    same = downloaded("a").inspection.sha256
    await place.record(held, [downloaded(f"first {n}", sha256=same) for n in range(2_000)])
    await place.rows_of_nothing("ANALYZE images")
    outcomes = [downloaded(f"second {n}", sha256=same) for n in range(50)]
    async with place.database.transaction() as session:
        await chunks.record(session, held, outcomes, None, exhausted=True, storage_url=str)
        seen = await session.execute(
            text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'images'")
        )
        assert seen.scalar_one() < 10
    assert (await place.job(held.crawl_job_id)).duplicate_images == 2_049


async def test_a_chunk_that_found_copies_goes_on_until_its_share_is_full(place: Place) -> None:
    job, [chunk] = await place.started(max_images=3)
    held = await place.claim(chunk)
    same = downloaded("a").inspection.sha256
    await place.record(held, [downloaded("a"), downloaded("b", sha256=same), downloaded("c", sha256=same)], "p2")
    await place.end(held)
    again = await place.claim(chunk)
    assert (again.limit, again.cursor) == (2, "p2")
    await place.record(again, [downloaded("d"), downloaded("e")], "p3")
    assert (await place.job(job.id)).status == "completed"


async def test_a_chunk_whose_finds_were_known_is_filled_up(place: Place) -> None:
    """Two chunks find the same images at the same time: what the second loses by it, it may look for again."""
    job, found = await place.started(queries=2, max_images=6)
    one, two = [await place.claim(chunk) for chunk in found]
    same = [downloaded(name) for name in "abc"]
    await place.record(one, same, "1")
    await place.record(two, same, "1")
    await place.end(one)
    await place.end(two)
    job = await place.job(job.id)
    assert (job.status, job.downloaded_images) == ("running", 3)
    again = await place.claim(found[0])
    await place.record(again, [downloaded(name) for name in "def"], "2")
    assert (await place.job(job.id)).downloaded_images == 6


async def test_a_source_that_brings_nothing_new_is_not_asked_for_ever(place: Place) -> None:
    job, [chunk] = await place.started()
    await place.end(await place.claim(chunk))  # it ended, but never said that it was exhausted
    assert (await place.job(job.id)).status == "completed"


async def test_a_task_does_not_take_back_a_chunk_that_it_lost(place: Place) -> None:
    job, [chunk] = await place.started()
    lost = await place.claim(chunk)
    await place.claim(chunk)
    async with place.database.transaction() as session:
        assert await chunks.claim(session, job.id, chunk.id, lost) is None


async def test_known_urls_are_those_with_rows(place: Place) -> None:
    job, [chunk] = await place.started()
    strange = candidate("snow\N{SNOWMAN}\ud800\x00.jpg")
    outcome = failed("gone")
    await place.record(
        await place.claim(chunk),
        [outcome, type(outcome)(candidate=strange, reason=Reason.BAD_URL, detail="\x00", fetched_at=NOW)],
    )
    async with place.database.transaction() as session:
        asked = [candidate("gone"), candidate("new"), strange]
        assert await known_urls(session, job.id, asked) == {asked[0].url, strange.url}


async def test_hostile_text_is_stored_as_text(place: Place) -> None:
    _, [chunk] = await place.started()
    nasty = "tab\tnewline\nbackslash\\N \\. quote' \x00 \ud800 \U0001f408 " + "x" * 5000
    hostile = candidate(
        nasty, label=nasty, title=nasty, creator=nasty, attribution=nasty,
        licence=Licence("z" * 80, "9" * 40, nasty),
        metadata={nasty: [nasty, float("nan"), float("inf"), 10**30, {"deep": NOW}], "zero": "\\u0000 \u0000"},
    )  # fmt: skip
    base = downloaded("x")
    outcome = Downloaded(candidate=hostile, inspection=base.inspection, key=base.key, final_url=nasty, fetched_at=NOW)
    assert await place.record(await place.claim(chunk), [outcome])
    [(title, licence, metadata)] = await place.rows("SELECT title, licence, metadata_ FROM images")
    clean = nasty.replace("\x00", "").replace("\ud800", "?")
    assert title == clean
    assert licence == "z" * 50
    assert metadata == {clean: [clean, None, None, 10**30, {"deep": str(NOW)}], "zero": "\\u0000 "}


@pytest.mark.parametrize("size", [1, 200, 1000])
async def test_batches_of_any_size(place: Place, size: int) -> None:
    job, [chunk] = await place.started(max_images=5000)
    held = await place.claim(chunk)
    numbers = itertools.count()
    for _ in range(2):
        assert await place.record(held, [downloaded(str(next(numbers))) for _ in range(size)])
    assert (await place.job(job.id)).downloaded_images == 2 * size


async def test_an_ended_chunk_is_not_claimed_again(place: Place) -> None:
    job, [chunk] = await place.started()
    held = await place.claim(chunk)
    await place.record(held, [], None, end=True)
    await place.end(held)
    async with place.database.transaction() as session:
        assert await chunks.claim(session, job.id, chunk.id) is None


async def test_thousands_of_chunks_are_enqueued_with_their_job(place: Place) -> None:
    """A list of a hundred million rows has ten thousand. Each chunk has one task, in their order."""
    queries = [Query(source="urls", label="birds", options={"start": n}) for n in range(2_000)]
    job, _ = await place.asked(queries)
    found = await place.rows(
        "SELECT c.position, t.id FROM crawl_chunks c"
        " JOIN procrastinate_jobs t ON (t.args ->> 'chunk_id')::bigint = c.id ORDER BY t.id"
    )
    assert [position for position, _ in found] == list(range(2_000))
    assert (await place.job(job.id)).task_ids == [number for _, number in found]


async def test_a_job_ends_when_its_owner_has_all_the_bytes_that_are_allowed(place: Place) -> None:
    job, [first, second] = await place.started(queries=2)
    held, other = await place.claim(first), await place.claim(second)
    allowance = Allowance(bytes=100_000)

    async def over() -> bool:
        async with place.database.transaction() as session:
            return await chunks.end_beyond(session, other, allowance)

    await place.record(held, [downloaded("a")])
    assert not await over()
    await place.record(other, [downloaded("b")])
    assert await over()
    job = await place.job(job.id)
    assert (job.status, job.active_chunks, job.downloaded_images) == ("failed", 0, 2)
    assert job.error_message == (
        "100,000 bytes are allowed, and 100,000 are there. Delete jobs that are not needed any more."
        " Those of deleted projects count until the projects are removed for good. Then try this one again."
    )
    assert not await place.record(held, [downloaded("c")])
    assert await place.rows("SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'") == [(0,)]
    async with place.database.transaction() as session:
        await crawl_jobs.retry(session, job.id, user_id=None)
    held = await place.claim(first)
    assert await place.record(held, [downloaded("c")])
