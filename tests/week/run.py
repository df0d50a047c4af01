"""The small week: a crawl of many hosts by workers that are killed all the time, and what it must have come to."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from backend.config import Settings
from backend.db import Database
from tests.tasks.helpers import assert_accounted_for, job_of, rows, settled, start_job
from tests.week.fates import Wanted, wanted
from tests.week.fleet import Fleet
from tests.week.web import Web

STILL = 120.0
"""Seconds without anything new after which a run counts as hung: several times what a killed worker's hosts rest."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """of a run. seconds: from one kill to the next, about. at_once, interval: the pace of every host."""

    urls: int
    hosts: int
    seconds: float
    workers: int
    at_once: int
    interval: float
    timeout: float
    most_kills: int | None = None


def worker_settings(sizes: Sizes) -> dict[str, str]:
    """What the workers are told."""
    return {
        "GLEANSET_PER_HOST": str(sizes.at_once),
        "GLEANSET_INTERVAL": str(sizes.interval),
        "GLEANSET_TIMEOUT": str(sizes.timeout),
        "GLEANSET_HEARTBEAT": "0.5",
        "GLEANSET_WINDOW": "64",
        "GLEANSET_BATCH": "1000",
        "GLEANSET_CHUNKS_AT_ONCE": "4",
        "GLEANSET_ROWS_PER_CHUNK": str(sizes.urls // (8 * sizes.workers)),
    }


@dataclass
class Week:
    """What was seen of a run."""

    urls: int
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    kills: int = 0
    rescues: int = 0
    memory: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds, URLs met, and bytes of the worker that is not killed."""

    def still(self) -> float:
        """Seconds without a new URL."""
        if not self.memory:
            return 0.0
        seconds, met, _ = self.memory[-1]
        return seconds - next(at for at, count, _ in self.memory if count == met)

    def growth(self) -> float:
        """By what part of itself the memory of the worker that is not killed grew in the second half of the run."""
        half = [(seconds, used) for seconds, met, used in self.memory if met > self.urls / 2]
        seconds, used = np.array(half, dtype=float).T
        slope = np.polyfit(seconds, used, 1)[0]
        return float(slope * (seconds[-1] - seconds[0]) / used.mean())


async def run(
    sizes: Sizes,
    database: Database,
    settings: Settings,
    workers: Mapping[str, str],
    folder: Path,
    web: Web,
    show: Callable[[Week], None] = lambda _: None,
) -> tuple[Week, int, Sequence[Wanted]]:
    """Crawl to the end with kills on the way; the week, the job's id, and what was wanted of it."""
    chance = random.Random()
    urls = list(wanted(sizes.urls, sizes.hosts, web.port, web.dead_port))
    job_id = await start_job(database, settings, [each.url for each in urls], own_hosts=())
    week = Week(sizes.urls)
    with Fleet(sizes.workers, workers, folder) as fleet:
        next_kill = math.inf
        while True:
            job = await job_of(database, job_id)
            week.seconds = time.monotonic() - week.began
            fleet.check()
            assert week.still() < STILL, (
                f"nothing was recorded for {week.still():.0f} s, with {job.total_images} URLs met"
            )
            week.memory.append((week.seconds, job.total_images, fleet.memory()))
            if job.status != "running":
                break
            if job.total_images and math.isinf(next_kill):
                next_kill = week.seconds
            if week.seconds > next_kill and fleet.kills != sizes.most_kills:
                fleet.kill_one()
                next_kill = week.seconds + sizes.seconds * chance.uniform(0.5, 1.5)
            week.kills, week.rescues = fleet.kills, fleet.rescues()
            show(week)
            await asyncio.sleep(min(1.0, sizes.seconds / 4))
        report = await settled(database, job_id, seconds=600)
        assert report.status == "completed", report.error
        week.rescues = fleet.rescues()
    return week, job_id, urls


async def assert_right(
    sizes: Sizes, database: Database, settings: Settings, job_id: int, urls: Sequence[Wanted], web: Web
) -> None:
    """Every URL is accounted for once with a reason it may have, and no host was asked more than its pace allows."""
    found = dict(await rows(database, "SELECT original_url, reason FROM images"))
    expected: dict[str, str | None] = {}
    wrong: list[str] = []
    kinds = Counter[str]()
    for each in urls:
        reason = found.get(each.url, "no row")
        allowed = each.reasons or {None}
        right = reason in allowed
        expected[each.url] = next(iter(allowed)) if reason == "no row" else reason
        if not right:
            wrong.append(f"{each.url} ended with {reason}, not {' or '.join(map(str, allowed))}")
            kinds[str(reason)] += 1
    # Rows, counters and files first, by what there is: a reason that is wrong says nothing about these.
    await assert_accounted_for(database, settings, job_id, expected)
    assert_polite(sizes, web)
    assert not wrong, "\n".join([f"{len(wrong)} wrong reasons, {dict(kinds)}:", *wrong[:20]])


def assert_polite(sizes: Sizes, web: Web) -> None:
    """Requests at once as they were allowed, and as many within some time as the interval allows.

    Those that were under way when a time began may reach the host within it: so many may seem to come too early.
    """
    for address, site in web.sites.items():
        assert site.most <= sizes.at_once, f"{address}: {site.most} requests at once"
        early = sizes.at_once * site.interval + 0.05
        assert site.ahead <= early, f"{address}, {site.kind}: a request came {site.ahead:.2f} s too early"
        assert site.hasty <= sizes.at_once, f"{address}: {site.hasty} requests within Retry-After"
        asked = [path for path in site.asked if path.endswith(".jpg")]
        assert not (asked and site.kind in {"closed", "ruleless", "silent"}), f"{address}, {site.kind}: {asked[0]}"
