"""Jobs as a person would make them, and outcomes as the engine gives them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from backend.db import Database
from backend.models import CrawlChunk, CrawlJob, Project
from backend.schemas.plans import CrawlPlan
from backend.services import chunks, crawl_jobs
from backend.services.chunks import Claim
from gleanset.types import Candidate, Downloaded, Failed, Inspection, Licence, Outcome, Query, Reason

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


def downloaded(name: str, **measures: Any) -> Downloaded:
    """An image that was had, with bytes of its own unless `sha256` is given."""
    inspection = Inspection(
        format="jpeg", width=640, height=480, file_size=50_000, sha256=hashlib.sha256(name.encode()).hexdigest(),
        pdq=bytes(32), pdq_quality=90, brightness=0.5, contrast=0.2, sharpness=300.0, entropy=7.0, orientation=1,
        animated=False, alpha=False, uniformity=0.2, colour=40.0, border=0.0,
    )  # fmt: skip
    inspection = replace(inspection, **measures)
    return Downloaded(
        candidate=candidate(name),
        inspection=inspection,
        key=f"{inspection.sha256[:2]}/{inspection.sha256}.jpg",
        final_url=f"https://cdn.example/{name}",
        fetched_at=NOW,
    )


def failed(name: str, reason: Reason = Reason.NOT_FOUND) -> Failed:
    return Failed(candidate=candidate(name), reason=reason, detail="HTTP 404", fetched_at=NOW)


def candidate(name: str, **fields: Any) -> Candidate:
    given: dict[str, Any] = {
        "url": f"https://example.org/{name}", "label": "cat", "source": "openverse", "keyword": "cat",
        "page_url": f"https://example.org/pages/{name}", "title": name, "creator": "Ann",
        "licence": Licence("by-sa", "4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
        "attribution": f"{name} by Ann", "metadata": {"tags": ["a", "b"]},
    }  # fmt: skip
    return Candidate(**(given | fields))


@dataclass(frozen=True)
class Place:
    """A project to put jobs into."""

    database: Database
    owner_id: UUID
    project_id: int
    folder: Path

    async def started(self, queries: int = 1, max_images: int = 100, **plan: Any) -> tuple[CrawlJob, list[CrawlChunk]]:
        """A running crawl job with so many keywords, a chunk for each."""
        words = [f"word {n}" for n in range(queries)]
        asked = [Query(source="openverse", label=word, keyword=word) for word in words]
        return await self.asked(asked, max_images, **plan)

    async def asked(
        self, queries: list[Query], max_images: int = 100, **plan: Any
    ) -> tuple[CrawlJob, list[CrawlChunk]]:
        """A running crawl job with a chunk for each query."""
        async with self.database.transaction() as session:
            project = await session.get_one(Project, self.project_id)
            words = list(dict.fromkeys(query.label for query in queries))
            job = await crawl_jobs.create(
                session, project, "A job", words, CrawlPlan(**plan), max_images, user_id=project.user_id
            )
            await crawl_jobs.start(session, job.id, queries, user_id=self.owner_id)
        return job, await self.chunks(job.id)

    async def chunks(self, job_id: int) -> list[CrawlChunk]:
        async with self.database.transaction() as session:
            query = select(CrawlChunk).filter_by(crawl_job_id=job_id).order_by(CrawlChunk.position)
            return list(await session.scalars(query))

    async def claim(self, chunk: CrawlChunk) -> Claim:
        async with self.database.transaction() as session:
            held = await chunks.claim(session, chunk.crawl_job_id, chunk.id)
        assert held is not None
        return held

    async def record(self, held: Claim, outcomes: list[Outcome], cursor: str | None = None, end: bool = False) -> bool:
        async with self.database.transaction() as session:
            return await chunks.record(
                session, held, outcomes, cursor, exhausted=end, storage_url=lambda key: f"file:///blobs/{key}"
            )

    async def end(self, held: Claim, error: str | None = None) -> None:
        async with self.database.transaction() as session:
            await chunks.end(session, held, error=error)

    async def job(self, job_id: int) -> CrawlJob:
        async with self.database.transaction() as session:
            return await session.get_one(CrawlJob, job_id)

    async def rows_of_nothing(self, sql: str) -> None:
        async with self.database.transaction() as session:
            await session.execute(text(sql))

    async def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.engine.connect() as connection:
            result = await connection.exec_driver_sql(sql, parameters)
            return [tuple(row) for row in result]
