"""A crawl job that has gathered, without a worker: rows as the engine's outcomes make them."""

from __future__ import annotations

from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob
from backend.services.images import insert_outcomes
from gleanset.types import Outcome
from tests.serving import Served

RULES = "/api/v1/crawl-jobs/{}/rules/preview"


def gathered(served: Served, client: httpx.Client, outcomes: list[Outcome], **fields: Any) -> int:
    """The id of a completed crawl job with these outcomes."""
    project = client.post("/api/v1/projects", json={"name": "Birds"}).json()["id"]
    body = {"project_id": project, "name": "Terns", "keywords": ["tern"]} | fields
    job_id = client.post("/api/v1/crawl-jobs", json=body).json()["id"]

    async def fill(session: AsyncSession) -> None:
        job = await session.get_one(CrawlJob, job_id)
        done = await insert_outcomes(session, job_id, outcomes, lambda key: f"file:///blobs/{key}", None, refresh=False)
        job.status, job.progress = "completed", 100
        job.total_images, job.downloaded_images = done.total, done.downloaded
        job.duplicate_images = done.duplicates

    served.run(fill)
    return job_id
