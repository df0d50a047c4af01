"""Workers as separate processes: killed, stopped, cancelled; the job always ends with what it should."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import psycopg
import pytest

from backend.config import Settings
from backend.db import Database, libpq_url
from backend.services import crawl_jobs
from backend.services.erasing import NOTE, TURN
from gleanset.store import Store, blob_key, parse_key
from tests.tasks.conftest import StartWorker
from tests.tasks.helpers import assert_accounted_for, job_of, rows, settled, start_job, until
from tests.web import PictureWeb, expected, sha256_of

KILLS = 10


async def test_ten_kills_lose_and_double_nothing(
    database: Database, settings: Settings, start_worker: StartWorker
) -> None:
    web = PictureWeb(delay=0.03)
    chance = random.Random()
    with web.served() as url:
        wanted = {f"{url}/{n}.jpg": expected(n) for n in range(2400)}
        job_id = await start_job(database, settings, list(wanted), export=True)

        async def met_more_than(count: int) -> bool:
            job = await job_of(database, job_id)
            return job.total_images > count or job.status != "running"

        met = []
        for _ in range(KILLS):
            worker = start_worker()
            before = (await job_of(database, job_id)).total_images
            await until(lambda before=before: met_more_than(before))
            await asyncio.sleep(chance.uniform(0.0, 0.6))
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            job = await job_of(database, job_id)
            met.append(job.total_images)
            assert job.status == "running", f"the job was over before the last kill: {met}"
        assert met == sorted(met)

        start_worker("--processes", "2")
        now = await settled(database, job_id)
    assert now.status == "completed", now.error
    await assert_accounted_for(database, settings, job_id, wanted)
    downloads = sum(reason is None for reason in wanted.values())
    assert now.validation is not None
    assert now.export is not None
    assert now.crawl.valid_images == now.export.exported_images == downloads
    repeated = sum(count - 1 for count in web.asked.values())
    assert repeated <= KILLS * 2 * (settings.window + 2 * settings.batch), "a kill repeats little more than a batch"


async def test_a_stopped_worker_gives_its_work_back(
    database: Database, settings: Settings, start_worker: StartWorker
) -> None:
    with PictureWeb(delay=0.02).served() as url:
        wanted = {f"{url}/{n}.jpg": expected(n) for n in range(400)}
        job_id = await start_job(database, settings, list(wanted))
        first = start_worker()

        async def some() -> bool:
            return (await job_of(database, job_id)).total_images > 20

        await until(some)
        first.terminate()
        assert first.wait(10) == 0
        waiting = await rows(
            database, "SELECT DISTINCT status::text FROM procrastinate_jobs WHERE status <> 'succeeded'"
        )
        assert waiting == [("todo",)]
        assert (await job_of(database, job_id)).status == "running"
        start_worker()
        assert (await settled(database, job_id)).status == "completed"
    await assert_accounted_for(database, settings, job_id, wanted)


async def test_a_stopped_worker_records_what_has_come(
    database: Database, settings: Settings, environment: dict[str, str], start_worker: StartWorker
) -> None:
    """Nothing is asked twice: the batch that was running is recorded, and downloads that were under way with it."""
    environment |= {"GLEANSET_BATCH": "1000", "GLEANSET_HEARTBEAT": "2"}
    web = PictureWeb(delay=0.2)
    with web.served() as url:
        wanted = {f"{url}/{n}.jpg": expected(n) for n in range(300)}
        job_id = await start_job(database, settings, list(wanted))

        async def asked(before: int) -> bool:
            return sum(web.asked.values()) > before + 30

        for _ in range(3):
            before = sum(web.asked.values())
            worker = start_worker()
            await until(lambda before=before: asked(before))
            began = time.monotonic()
            worker.terminate()
            assert worker.wait(10) == 0
            assert time.monotonic() - began < 6.0
            assert (await job_of(database, job_id)).total_images == sum(web.asked.values())
        start_worker()
        assert (await settled(database, job_id)).status == "completed"
    await assert_accounted_for(database, settings, job_id, wanted)
    assert set(web.asked.values()) == {1}


async def test_a_worker_that_was_taken_for_dead_goes_on_and_takes_nothing_from_another(
    database: Database, settings: Settings, start_worker: StartWorker
) -> None:
    with PictureWeb(delay=0.1).served() as url:
        wanted = {f"{url}/{n}.jpg": expected(n) for n in range(600)}
        job_id = await start_job(database, settings, list(wanted))
        first = start_worker()

        async def some() -> bool:
            return (await job_of(database, job_id)).total_images > 20

        await until(some)
        os.kill(first.pid, signal.SIGSTOP)
        await asyncio.sleep(2.0)  # longer than a worker may be silent
        second = start_worker()
        before = (await job_of(database, job_id)).total_images

        async def taken_over() -> bool:
            return (await job_of(database, job_id)).total_images > before

        await until(taken_over)
        os.kill(first.pid, signal.SIGCONT)
        await asyncio.sleep(3.0)  # it finds that its chunks are another's, and asks for new ones
        assert first.poll() is None
        os.kill(second.pid, signal.SIGKILL)
        assert (await settled(database, job_id)).status == "completed"
    await assert_accounted_for(database, settings, job_id, wanted)


async def test_cancel_stops_the_worker_within_a_second_and_retry_goes_on(
    database: Database, settings: Settings, start_worker: StartWorker
) -> None:
    web = PictureWeb(delay=0.05)
    with web.served() as url:
        wanted = {f"{url}/{n}.jpg": expected(n) for n in range(300)}
        job_id = await start_job(database, settings, list(wanted))
        start_worker()

        async def some() -> bool:
            return (await job_of(database, job_id)).total_images > 20

        await until(some)
        web.delay = 30.0  # whatever is asked from now on hangs
        await asyncio.sleep(0.3)
        async with database.transaction() as session:
            await crawl_jobs.cancel(session, job_id, user_id=None)

        async def idle() -> bool:
            return not await rows(database, "SELECT 1 FROM procrastinate_jobs WHERE status IN ('todo', 'doing')")

        assert await until(idle) < 1.0
        stopped = await job_of(database, job_id)
        assert (stopped.status, stopped.active_chunks) == ("cancelled", 0)
        asked = sum(web.asked.values())
        await asyncio.sleep(0.3)
        assert sum(web.asked.values()) == asked
        assert (await job_of(database, job_id)).total_images == stopped.total_images

        web.delay = 0.0
        async with database.transaction() as session:
            await crawl_jobs.retry(session, job_id, user_id=None)
        assert (await settled(database, job_id)).status == "completed"
    await assert_accounted_for(database, settings, job_id, wanted)


@pytest.mark.parametrize("processes", [1, 3])
async def test_max_images_is_exact_with_any_number_of_processes(
    database: Database, settings: Settings, start_worker: StartWorker, processes: int
) -> None:
    web = PictureWeb(delay=0.005)
    with web.served() as url:
        job_id = await start_job(
            database, settings, [f"{url}/{n}.jpg" for n in range(900)], max_images=101, export=True
        )
        start_worker("--processes", str(processes))
        now = await settled(database, job_id)
    assert (now.status, now.crawl.downloaded_images, now.crawl.valid_images) == ("completed", 101, 101)
    [(downloads, met)] = await rows(
        database, "SELECT count(*) FILTER (WHERE outcome = 'downloaded'), count(*) FROM images"
    )
    assert (downloads, met) == (101, now.crawl.total_images)
    assert sum(web.asked.values()) < 220, "a limit of 101 costs few needless fetches"


async def test_a_full_store_fails_the_job_with_a_sentence(
    database: Database, settings: Settings, start_worker: StartWorker
) -> None:
    with PictureWeb().served() as url:
        settings.home.mkdir(parents=True)
        (settings.home / "images").write_text("a file where the folder should be")
        job_id = await start_job(database, settings, [f"{url}/1.jpg"])
        worker = start_worker()
        assert worker.wait(30) == 1
        assert (await job_of(database, job_id)).status == "running"
        (settings.home / "images").unlink()
        start_worker()
        assert (await settled(database, job_id)).status == "completed"


async def test_what_was_erased_between_storing_and_recording_is_gathered_again(
    database: Database, settings: Settings, start_worker: StartWorker
) -> None:
    """Somebody erases the same bytes at the worst moment: the images are there, and nobody has recorded them yet."""
    web = PictureWeb()
    store = Store(settings.store_place)
    with web.served() as url, psycopg.connect(libpq_url(database.url), autocommit=True) as eraser:
        wanted = {f"{url}/{n}.jpg": expected(n) for n in range(1, 7)}
        eraser.execute(f"SELECT pg_advisory_lock({TURN})".encode())
        job_id = await start_job(database, settings, list(wanted))
        start_worker()

        async def stored() -> bool:
            return len([blob async for blobs in store.blobs() for blob in blobs if parse_key(blob.key)]) == len(wanted)

        await until(stored)
        keys = [blob_key(sha256_of(n), "jpeg") for n in range(1, 7)]
        eraser.execute(NOTE.encode(), [[bytes.fromhex(sha256_of(n)) for n in range(1, 7)]])
        await store.erase(keys[:3])
        eraser.execute(f"SELECT pg_advisory_unlock({TURN})".encode())
        now = await settled(database, job_id)
    assert now.status == "completed", now.error
    await assert_accounted_for(database, settings, job_id, wanted)
    assert [web.asked[f"/{n}.jpg"] for n in range(1, 7)] == [2, 2, 2, 1, 1, 1]


async def test_a_worker_ends_a_job_whose_owner_has_all_the_bytes_that_are_allowed(
    database: Database, settings: Settings, environment: dict[str, str], start_worker: StartWorker
) -> None:
    environment["GLEANSET_MAX_BYTES_PER_USER"] = "30000"
    with PictureWeb(delay=0.01).served() as url:
        job_id = await start_job(database, settings, [f"{url}/{n}.jpg" for n in range(400)])
        start_worker()
        now = await settled(database, job_id)
    assert now.status == "failed"
    assert (now.error or "").startswith("30,000 bytes are allowed, and ")
    assert 30_000 <= now.bytes < 200_000
    assert await rows(database, "SELECT count(*) FROM crawl_chunks WHERE status IN ('pending', 'running')") == [(0,)]
