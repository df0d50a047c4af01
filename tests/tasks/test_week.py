"""The week in small (`make week`), smaller: hosts of every kind, and workers that are killed on the way."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

from backend.config import Settings
from backend.db import Database
from tests.tasks.conftest import StartWorker
from tests.tasks.helpers import settled, start_job
from tests.week.fates import wanted
from tests.week.run import Sizes, assert_right, run, worker_settings
from tests.week.web import Web

SIZES = Sizes(urls=2_000, hosts=40, seconds=1.0, workers=3, at_once=4, interval=0.02, timeout=3.0, most_kills=2)


async def test_every_url_has_one_row_and_every_host_its_pace(
    database: Database, settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    told = worker_settings(SIZES)
    settings.rows_per_chunk = int(told["GLEANSET_ROWS_PER_CHUNK"])
    web = Web(SIZES.interval)
    with web.served():
        week, job_id, urls = await run(SIZES, database, settings, environment | told, tmp_path, web)
    await assert_right(SIZES, database, settings, job_id, urls, web)
    assert week.kills == SIZES.most_kills
    assert week.rescues >= 1


async def test_a_worker_may_have_more_hosts_than_a_shell_allows_files(
    database: Database, settings: Settings, environment: dict[str, str], start_worker: StartWorker
) -> None:
    sizes = replace(SIZES, urls=400, hosts=400)
    environment |= worker_settings(sizes)
    web = Web(sizes.interval)
    with web.served():
        urls = list(wanted(sizes.urls, sizes.hosts, web.port, web.dead_port))
        job_id = await start_job(database, settings, [each.url for each in urls], own_hosts=())
        worker = start_worker()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (200, most))
        assert (await settled(database, job_id)).status == "completed"
    await assert_right(sizes, database, settings, job_id, urls, web)
