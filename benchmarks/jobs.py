"""A crawl job put into the queue by the service's own functions, and done by `gleanset worker`."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from backend.config import Settings
from backend.db import Database, libpq_url
from backend.models import CrawlJob
from backend.models.enums import JobStatus
from backend.schemas.plans import CrawlPlan, UrlList
from backend.services import crawl_jobs, profiles
from benchmarks.contestants import DECODERS, Run, gleanset, gleanset_environment

# Rows as a crawl writes them, with addresses and hashes as scattered; the files they name are not there.
FILL = """
INSERT INTO images (crawl_job_id, original_url, label, source, keyword, page_url, title, creator, creator_url,
    licence, licence_version, licence_url, attribution, metadata_, outcome, fetched_at, storage_url, filename,
    final_url, width, height, file_size, format, sha256, pdq, pdq_quality, brightness, contrast, sharpness, entropy,
    uniformity, colour, border, orientation, animated, alpha, crc32)
SELECT %(job)s, url, (ARRAY['bird', 'boat', 'cloud', 'rock'])[1 + n %% 4], 'openverse', 'bird in flight',
    'https://www.example.org/photos/' || n || '/page',
    'A bird over the harbour, picture ' || n, 'Erika Mustermann', 'https://www.example.org/people/erika',
    (ARRAY['by', 'by-sa', 'cc0'])[1 + n %% 3], '4.0', 'https://creativecommons.org/licenses/by-sa/4.0/',
    '"A bird over the harbour" by Erika Mustermann is licensed under CC BY-SA 4.0. (' || n || ')',
    '{"provider": "example", "tags": ["bird", "sea"], "width": 1024, "height": 768}', 'downloaded', now(),
    'file:///store/' || left(name, 2) || '/' || name, name, url, 640 + n %% 1000, 480 + n %% 1000, 100000 + n, 'jpeg',
    sha256(int8send(n)), sha256(int8send(-n)), 100, 0.43, 0.21, 812.5, 7.31,
    0.21, 38.5, 0, 1, false, false, ('x' || left(md5(n::text), 8))::bit(32)::bigint
FROM generate_series(1, %(rows)s) AS n,
    LATERAL (SELECT encode(sha256(int8send(n)), 'hex') || '.jpg' AS name,
        'https://upload.example.org/photos/' || md5(n::text) || '/' || n || '.jpg' AS url) AS made
"""


def run_by_workers(
    folder: Path,
    urls: Path,
    *,
    processes: int = 1,
    decoders: int = DECODERS,
    rows_per_chunk: int = 10_000,
    rows_before: int = 0,
) -> Run:
    """A crawl of the list, by the job's own clock. `rows_before`: images the job is given before it begins."""
    return asyncio.run(_run(folder / "home", urls, processes, decoders, rows_per_chunk, rows_before))


async def _run(home: Path, urls: Path, processes: int, decoders: int, rows_per_chunk: int, rows_before: int) -> Run:
    plan = CrawlPlan(lists=[UrlList(path=str(urls))], allow_private=True, own_hosts=["127.0.0.1"])
    queries = crawl_jobs.plan_queries([], plan, rows_per_chunk=rows_per_chunk)
    count = crawl_jobs.rows_of(queries)
    assert count is not None
    async with Database.ready(Settings(home=home, database_url=None)) as database:
        async with database.transaction() as session:
            project = await profiles.project_named(session, await profiles.local_owner(session), "benchmark")
            job = await crawl_jobs.create(
                session, project, urls.name, [], plan, count + rows_before, user_id=project.user_id
            )
        if rows_before:
            fill(database, job.id, rows_before)
        with workers(home, processes, decoders) as worker:
            async with database.transaction() as session:
                await crawl_jobs.start(session, job.id, queries, user_id=None)
            job = await ended(database, job.id, worker)
    images = job.downloaded_images - rows_before
    if images != count or job.started_at is None or job.completed_at is None:
        raise SystemExit(f"gleanset got {images} of {count} images: {job.status}, {job.error_message}")
    return Run(images, (job.completed_at - job.started_at).total_seconds())


def fill(database: Database, job_id: int, rows: int) -> None:
    """The job as if it had gathered so many images already, the database at rest again."""
    with psycopg.connect(libpq_url(database.url), autocommit=True) as connection:
        connection.execute(FILL.encode(), {"job": job_id, "rows": rows})
        connection.execute(
            "UPDATE crawl_jobs SET total_images = %(rows)s, downloaded_images = %(rows)s WHERE id = %(job)s",
            {"job": job_id, "rows": rows},
        )
        connection.execute("VACUUM (ANALYZE) images")
        connection.execute("CHECKPOINT")


@contextmanager
def workers(home: Path, processes: int, decoders: int) -> Generator[subprocess.Popen[bytes]]:
    """Workers that wait for something to do."""
    log = home / "worker.log"
    environment = gleanset_environment(home) | {"GLEANSET_DECODERS": str(decoders)}
    command = gleanset("worker", "--processes", str(processes))
    with log.open("wb") as output:
        worker = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while log.read_text().count("worker is ready") < processes:
            if worker.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The workers did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        time.sleep(1)  # they say so when they begin to listen
        yield worker
    finally:
        worker.terminate()
        worker.wait(60)


async def ended(database: Database, job_id: int, worker: subprocess.Popen[bytes]) -> CrawlJob:
    while True:
        async with database.transaction() as session:
            job = await session.get_one(CrawlJob, job_id)
        if job.status != JobStatus.RUNNING or worker.poll() is not None:
            return job
        await asyncio.sleep(0.2)
