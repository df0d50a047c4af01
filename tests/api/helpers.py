"""Jobs of people whom the API serves, made as a worker would leave them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.db import Database
from backend.models import Project
from backend.models.enums import JobStatus
from backend.schemas.plans import CrawlPlan
from backend.services import crawl_jobs
from backend.services.chunks import Claim
from backend.services.images import insert_outcomes
from gleanset.types import Outcome
from tests.services.helpers import Place, downloaded
from tests.serving import Served


@dataclass
class Jobs:
    """Somebody's project; what `Place` does with it, done in the web process."""

    served: Served
    place: Place

    @classmethod
    def of(cls, served: Served, user_id: UUID, folder: Path) -> Jobs:
        async def project(session: Any) -> int:
            found = await session.scalar(select(Project).filter_by(user_id=user_id).limit(1))
            if found is None:
                session.add(found := Project(name="Tests", user_id=user_id))
                await session.flush()
            return found.id

        return cls(served, Place(served.database, user_id, served.run(project), folder))

    def do(self, work: Any) -> Any:
        """What a coroutine of the place gives."""
        return asyncio.run_coroutine_threadsafe(work, self.served.loop).result(30)

    def without_task(self, outcomes: Sequence[Outcome], status: JobStatus = JobStatus.COMPLETED) -> int:
        """A crawl job with these outcomes, of which no worker knows; its id."""

        async def make(session: AsyncSession) -> int:
            project = await session.get_one(Project, self.place.project_id)
            job = await crawl_jobs.create(session, project, "A job", ["x"], CrawlPlan(), 100, user_id=project.user_id)
            done = await insert_outcomes(session, job.id, outcomes, lambda key: f"file:///{key}", None)
            job.status, job.total_images, job.downloaded_images = status.value, done.total, done.downloaded
            return job.id

        return self.served.run(make)

    @property
    def database(self) -> Database:
        return self.served.database


class Running:
    """A running crawl job that gathers images when it is told to."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        job, [chunk] = jobs.do(jobs.place.started(max_images=1000))
        self.id: int = job.id
        self._held: Claim = jobs.do(jobs.place.claim(chunk))
        self._made = 0

    def gather(self, count: int = 1) -> None:
        made = [downloaded(f"{self.id}-{self._made + n}") for n in range(count)]
        self._made += count
        self.jobs.do(self.jobs.place.record(self._held, made))

    def end(self) -> None:
        self.jobs.do(self.jobs.place.record(self._held, [], end=True))
        self.jobs.do(self.jobs.place.end(self._held))
