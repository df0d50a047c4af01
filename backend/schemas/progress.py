"""Where a run stands, as the API tells it once or as it changes."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from backend.models.enums import JobStatus
from backend.schemas.crawl_jobs import CrawlJobResponse
from backend.schemas.jobs import ExportJobResponse, ValidationJobResponse


class PartProgress(BaseModel):
    """What one source, or one label, has given."""

    name: str
    wanted: int | None = Field(description="Images asked of it; `null` when nobody knows how many it has.")
    downloaded: int


class ChunkProgress(BaseModel):
    """One piece of the strip."""

    position: int
    status: JobStatus


class RunProgress(BaseModel):
    """A crawl job with the validation and the export that belong to it."""

    crawl_job: CrawlJobResponse
    validation_job: ValidationJobResponse | None = None
    export_job: ExportJobResponse | None = None
    status: JobStatus = Field(
        description="Of crawl and planned followers the first that is not `completed`; then that of a validation or"
        " export asked for later, while it is under way; then `completed`."
    )
    settled: bool = Field(description="Nothing more happens by itself.")
    failures: dict[str, int] = Field(description="What was not had, by reason, most frequent first.")
    invalid: dict[str, int] = Field(description="What the last validation rejected, by rule, most frequent first.")
    bytes: int
    seconds: float = Field(
        description="From the start to the end, or to now: of the crawl and what was planned to follow it."
    )
    images_per_second: float = Field(description="Downloads a second while the crawl ran.")
    seconds_left: float | None = Field(description="Estimate for the job that runs just now; `null` for no idea.")
    sources: list[PartProgress] = Field(description="In the order of the plan, at most 200.")
    labels: list[PartProgress] = Field(description="In the order of the plan, at most 200.")
    chunks: list[ChunkProgress] = Field(description="In order; of more than 500 every second, third ... one.")
    at: datetime
