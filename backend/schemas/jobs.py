from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints, computed_field

from backend.schemas.base import JobResponse, Json, Name, Request, percent


class ValidationJobCreate(Request):
    crawl_job_id: int
    name: Name
    validation_rules: Json = Field(default_factory=dict)


class ValidationJobResponse(JobResponse):
    crawl_job_id: int
    validated_images: int = 0
    invalid_images: int = 0
    validation_rules: dict[str, Any] = Field(default_factory=dict)

    @computed_field
    @property
    def success_rate(self) -> float:
        """Percent of the images judged so far that are valid."""
        return percent(self.validated_images - self.invalid_images, self.validated_images)


class ExportJobCreate(Request):
    crawl_job_id: int
    name: Name
    format: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,20}$")] = "zip"
    export_options: Json = Field(default_factory=dict)


class ExportJobResponse(JobResponse):
    crawl_job_id: int
    user_id: UUID
    format: str = "zip"
    exported_images: int = 0
    file_size: int | None = None
    download_url: str | None = None
    export_options: dict[str, Any] = Field(default_factory=dict)
    expires_at: datetime | None = None

    @computed_field
    @property
    def success_rate(self) -> float:
        """Percent of the images chosen that are packed."""
        return percent(self.exported_images, self.total_images)

    @computed_field
    @property
    def is_expired(self) -> bool:
        # astimezone() takes a naive time for local time, as Python's own now() makes it.
        return self.expires_at is not None and self.expires_at.astimezone(UTC) <= datetime.now(UTC)
