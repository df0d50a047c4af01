"""Validations and exports that hang from a crawl job: cancelled, tried again, raced for, and asked for by plan."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from backend import queue
from backend.errors import BadInput, IllegalMove
from backend.models import CrawlJob, ExportJob, ValidationJob
from backend.schemas.plans import ExportPlan
from backend.services import crawl_jobs, exports, validation
from backend.services.reports import report
from backend.services.states import locked
from gleanset.export import Packed
from tests.services.helpers import Place, downloaded


async def crawled(place: Place, **plan: object) -> CrawlJob:
    """A completed crawl of three images, two of them the same bytes."""
    job, [chunk] = await place.started(**plan)
    held = await place.claim(chunk)
    twin = downloaded("b").inspection.sha256
    await place.record(held, [downloaded("a"), downloaded("b"), downloaded("c", sha256=twin)], None, end=True)
    await place.end(held)
    return await place.job(job.id)


async def latest(place: Place, kind: type[ValidationJob] | type[ExportJob]) -> ValidationJob | ExportJob:
    [(number,)] = await place.rows(f"SELECT max(id) FROM {kind.__tablename__}")
    async with place.database.transaction() as session:
        return await session.get_one(kind, number)


async def test_what_was_planned_follows(place: Place) -> None:
    job = await crawled(place, rules={"min_width": 100}, export=ExportPlan())
    judging = await latest(place, ValidationJob)
    await validation.judge(place.database, judging.id)
    job = await place.job(job.id)
    assert job.valid_images == 2
    verdicts = await place.rows("SELECT valid, reasons FROM verdicts ORDER BY image_id")
    assert verdicts == [(True, []), (True, []), (False, ["exact_duplicate"])]
    packing = await latest(place, ExportJob)
    assert packing.status == "pending"
    async with place.database.transaction() as session:
        again = await validation.create(session, await locked(session, CrawlJob, job.id), {}, user_id=place.owner_id)
    await validation.judge(place.database, again.id)
    assert await place.rows("SELECT count(*) FROM export_jobs") == [(1,)], "what was asked for once comes once"


async def test_a_planned_export_comes_even_when_a_person_made_one_before(place: Place) -> None:
    job = await crawled(place, export=ExportPlan())
    async with place.database.transaction() as session:
        crawl = await locked(session, CrawlJob, job.id)
        await exports.create(session, crawl, place.owner_id)
        judging = await validation.create(session, crawl, {}, user_id=place.owner_id)
    await validation.judge(place.database, judging.id)
    assert await place.rows("SELECT count(*) FROM export_jobs") == [(2,)]


async def test_images_that_are_not_judged_to_the_end_are_not_exported(place: Place) -> None:
    job = await crawled(place, rules={})
    async with place.database.transaction() as session:
        crawl = await locked(session, CrawlJob, job.id)
        with pytest.raises(BadInput, match="jobs retry"):
            await exports.create(session, crawl, place.owner_id)


def packed(images: int, size: int) -> Packed:
    return Packed(Path("dataset"), images, size, "00" * 32)


async def test_of_two_runs_of_an_export_only_the_latest_counts(place: Place) -> None:
    job = await crawled(place)
    async with place.database.transaction() as session:
        made = await exports.create(session, await locked(session, CrawlJob, job.id), place.owner_id)
    runs = []
    for _ in range(2):
        async with place.database.transaction() as session:
            run = await exports.begin(session, made.id)
            assert run is not None
            runs.append(run.attempts)
    old, new = runs
    async with place.database.transaction() as session:
        assert not await exports.progress(session, made.id, old, 1)
        assert not await exports.finish(session, made.id, old, packed(1, 1), "file:///old", days=1)
        await exports.fail(session, made.id, old, "late")
        assert await exports.progress(session, made.id, new, 1)
        assert await exports.finish(session, made.id, new, packed(2, 9), "file:///new", days=1)
    finished = await latest(place, ExportJob)
    assert isinstance(finished, ExportJob)
    assert (finished.status, finished.download_url, finished.file_size) == ("completed", "file:///new", 9)


async def test_cancel_and_the_end_of_a_validation_do_not_deadlock(place: Place) -> None:
    for _ in range(5):
        job = await crawled(place, rules={})
        judging = await latest(place, ValidationJob)

        async def cancel(job_id: int = job.id) -> None:
            async with place.database.transaction() as session:
                await crawl_jobs.cancel(session, job_id, user_id=None)

        done = await asyncio.gather(validation.judge(place.database, judging.id), cancel(), return_exceptions=True)
        assert [type(error) for error in done if error is not None] in ([], [IllegalMove])
        assert (await latest(place, ValidationJob)).status in {"completed", "cancelled"}


async def test_retry_goes_on_with_the_newest_follower(place: Place) -> None:
    job = await crawled(place, rules={}, export=ExportPlan())
    first = await latest(place, ValidationJob)
    await validation.judge(place.database, first.id)
    async with place.database.transaction() as session:
        await crawl_jobs.cancel(session, job.id, user_id=None)  # the export
    async with place.database.transaction() as session:
        second = await validation.create(
            session, await locked(session, CrawlJob, job.id), {"min_width": 1}, user_id=place.owner_id
        )
    async with place.database.transaction() as session:
        await crawl_jobs.cancel(session, job.id, user_id=None)  # the second validation
    async with place.database.transaction() as session:
        await crawl_jobs.retry(session, job.id, user_id=None)
    await validation.judge(place.database, second.id)
    assert (await latest(place, ValidationJob)).status == "completed"
    async with place.database.transaction() as session:
        await crawl_jobs.retry(session, job.id, user_id=None)
    assert (await latest(place, ExportJob)).status == "pending"


@pytest.mark.parametrize("status", ["running", "pending"])
async def test_a_job_whose_tasks_are_gone_gets_new_ones(place: Place, status: str) -> None:
    job, [chunk] = await place.started()
    if status == "running":
        await place.claim(chunk)
    await place.rows_of_nothing("DELETE FROM procrastinate_jobs")
    async with place.database.transaction() as session:
        assert not await queue.has_tasks(session, job.id)
        await crawl_jobs.retry(session, job.id, user_id=None)
        assert await queue.has_tasks(session, job.id)
    held = await place.claim(chunk)
    await place.record(held, [downloaded("a")], None, end=True)
    await place.end(held)
    job = await place.job(job.id)
    assert (job.status, job.active_chunks, job.completed_chunks) == ("completed", 0, 1)


async def test_what_is_asked_for_later_does_not_change_what_the_run_was(place: Place) -> None:
    job = await crawled(place, rules={})
    await validation.judge(place.database, (await latest(place, ValidationJob)).id)
    async with place.database.transaction() as session:
        before = await report(session, job.id)
    assert len(before.run) == 2
    async with place.database.transaction() as session:
        made = await exports.create(session, await locked(session, CrawlJob, job.id), place.owner_id)
    async with place.database.transaction() as session:
        going = await report(session, job.id)
        assert (going.status, going.settled, going.seconds) == ("pending", False, before.seconds)
    async with place.database.transaction() as session:
        await exports.cancel(session, made.id, user_id=place.owner_id)
    async with place.database.transaction() as session:
        after = await report(session, job.id)
    assert (after.status, after.settled, after.seconds) == ("completed", True, before.seconds)
    assert replace(after, asked=True).status == "cancelled", "the command that asked for it wants to know"


async def test_chunks_that_failed_are_no_progress(place: Place) -> None:
    job, chunks = await place.started(queries=3)
    for chunk in chunks:
        await place.end(await place.claim(chunk), error="No answer.")
    job = await place.job(job.id)
    assert (job.status, job.failed_chunks, job.progress) == ("failed", 3, 0)


async def test_a_report_is_one_snapshot(place: Place) -> None:
    """What is committed while a report is being read is not half in it."""
    job = await crawled(place, rules={})
    judging = await latest(place, ValidationJob)
    async with place.database.transaction() as session:
        before = await report(session, job.id)
        await validation.judge(place.database, judging.id)
        assert before.validation is not None
        again = await session.scalar(select(ValidationJob.status).filter_by(id=judging.id))
        assert again == "pending", "the transaction of a report sees the database as it was"
    async with place.database.transaction() as session:
        after = await report(session, job.id)
    assert (after.settled, after.crawl.valid_images) == (True, 2)


async def test_cancelling_a_crawl_that_goes_on_cancels_its_exports_too(place: Place) -> None:
    """A crawl that failed was exported as it is, and taken up again meanwhile."""
    job = await crawled(place)
    async with place.database.transaction() as session:
        made = await exports.create(session, await locked(session, CrawlJob, job.id), place.owner_id)
        (await session.get_one(CrawlJob, job.id)).status = "running"
    async with place.database.transaction() as session:
        await crawl_jobs.cancel(session, job.id, user_id=None)
    assert (await place.job(job.id)).status == "cancelled"
    assert (await latest(place, ExportJob)).status == "cancelled"
    assert not await place.rows("SELECT FROM procrastinate_jobs WHERE status = 'todo'")
    async with place.database.transaction() as session:
        assert (await exports.retry(session, made.id, user_id=None)).status == "pending"
