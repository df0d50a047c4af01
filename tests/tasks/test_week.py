"""The week in small (`make week`), smaller: hosts of every kind, and workers that are killed on the way."""

from __future__ import annotations

from pathlib import Path

from backend.config import Settings
from backend.db import Database
from tests.week.run import Sizes, assert_right, run, worker_settings
from tests.week.web import Web

SIZES = Sizes(urls=2_000, hosts=40, seconds=1.5, workers=3, at_once=4, interval=0.02, timeout=3.0, most_kills=3)


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
