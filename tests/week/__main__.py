"""`python -m tests.week [--urls N] [--hosts N] [--seconds S]`: a crawl of a week in small, with workers killed."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from backend.config import Settings
from backend.db import Database
from tests.postgres import embedded_server
from tests.week.run import Sizes, Week, assert_right, run, worker_settings
from tests.week.web import Web

MOST_GROWTH = 0.1
"""Of the memory of the worker that is not killed, in the second half of the run."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.week", description=__doc__)
    parser.add_argument("--urls", type=int, default=200_000, metavar="N", help="URLs in the list (200000)")
    parser.add_argument("--hosts", type=int, default=2_000, metavar="N", help="hosts they are on (2000)")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="from one kill to the next (5)")
    parser.add_argument("--workers", type=int, default=3, metavar="N", help="processes; the first is not killed (3)")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="requests at once to a host (2)")
    parser.add_argument(
        "--interval", type=float, default=0.05, metavar="S", help="between two requests to a host (0.05)"
    )
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="for one image (5)")
    sizes = Sizes(**vars(parser.parse_args()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the workers end too
    with (
        tempfile.TemporaryDirectory(prefix="gl-week-") as folder,
        embedded_server() as server,
        server.migrated() as url,
    ):
        asyncio.run(_main(sizes, Path(folder), url))


async def _main(sizes: Sizes, folder: Path, database_url: str) -> None:
    os.environ.update(worker_settings(sizes), GLEANSET_HOME=str(folder / "home"), DATABASE_URL=database_url)
    settings = Settings()
    web = Web(sizes.interval)
    with web.served():
        async with Database(database_url) as database:
            week, job_id, urls = await run(sizes, database, settings, os.environ, folder, web, _Shower())
            _tell(sizes, week, web)
            await assert_right(sizes, database, settings, job_id, urls, web)
    if week.growth() > MOST_GROWTH:
        sys.exit(f"Memory grew by {week.growth():.1%} in the second half; at most {MOST_GROWTH:.0%} is right.")
    print("All is accounted for.")


class _Shower:
    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, week: Week) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 10
            seconds, met, memory = week.memory[-1]
            print(
                f"{seconds:5.0f} s: {met} URLs, {met / seconds:.0f} a second, {week.kills} kills,"
                f" {week.rescues} rescues, {memory / 2**20:.0f} MiB",
                flush=True,
            )


def _tell(sizes: Sizes, week: Week, web: Web) -> None:
    sites = web.sites.values()
    asked = sum(site.asked.total() for site in sites)
    print(f"{sizes.urls} URLs in {week.seconds:.0f} s, {sizes.urls / week.seconds:.0f} a second; {asked} requests")
    print(f"{week.kills} kills, {week.rescues} rescues")
    print(f"at once to a host: {max(site.most for site in sites)}, allowed {sizes.at_once}")
    print(f"ahead of a host's pace: {max(site.ahead / site.interval for site in sites):.2f} intervals")
    print(f"within Retry-After: {max(site.hasty for site in sites)}")
    print(f"memory: {week.memory[-1][2] / 2**20:.0f} MiB at the end, {week.growth():+.1%} in the second half")


if __name__ == "__main__":
    main()
