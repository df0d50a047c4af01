from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints, computed_field

from backend.models import ExportJob
from backend.models.enums import JobStatus
from backend.schemas.base import JobResponse, Json, Name, Request, Response, percent
from backend.schemas.images import Hex


class ValidationJobCreate(Request):
    crawl_job_id: int
    name: Name
    validation_rules: Json = Field(default_factory=dict)


class ValidationJobResponse(JobResponse):
    crawl_job_id: int
    validated_images: int = 0
    invalid_images: int = 0
    validation_rules: dict[str, Any] = Field(default_factory=dict)
    rules_name: str | None = Field(default=None, description="A preset, a name of one's own, or `custom`.")
    rules_version: int | None = Field(default=None, description="Of the schema that says what the rules mean.")
    rules_hash: Hex | None = Field(
        default=None, description="SHA-256 of rules and version as canonical JSON: equal for equal rules."
    )

    @computed_field
    @property
    def success_rate(self) -> float:
        """Percent of the images judged so far that are valid."""
        return percent(self.validated_images - self.invalid_images, self.validated_images)


class VerdictResponse(Response):
    """What a validation found about an image: valid, or the code of every rule that it breaks."""

    image_id: int
    valid: bool
    reasons: list[str]
    duplicate_of: int | None = Field(
        default=None, description="The image that stands for this one, of this job or an earlier one."
    )


class ValidationSummary(Response):
    """How many images broke each rule, most frequent first; an image counts with each of its reasons."""

    total: int
    valid: int
    invalid: dict[str, int]
    not_judged: list[str] = Field(
        default=[], description="Reasons that take longer to tell than a preview may; `valid` may be lower yet."
    )


class ExportJobCreate(Request):
    crawl_job_id: int
    name: Name
    format: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]{1,20}$")] = "zip"
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
    sha256: Hex | None = Field(
        default=None, description="Of its MANIFEST.sha256, as `gleanset verify` tells it; its ETag, too."
    )
    splits: dict[str, int] = Field(default_factory=dict, description="Images of each split.")
    left_out_images: int = Field(default=0, description="Images that would leak out of the fixed test set.")
    moved_images: int = Field(default=0, description="Images that are in another split than in the export followed.")
    taken_down_images: int = Field(
        default=0, description="Images in the file that were taken down since; it cannot be downloaded any more."
    )

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


def export_response(job: ExportJob) -> ExportJobResponse:
    """The export as others than its machine see it: the address of its file is on the web, not on the disk."""
    shown = ExportJobResponse.model_validate(job)
    is_file = job.export_options.get("container") != "folder" and job.format != "folder"
    there = job.status == JobStatus.COMPLETED and job.download_url is not None and not job.taken_down_images and is_file
    options = {name: value for name, value in shown.export_options.items() if name != "out"}
    url = f"/api/v1/export-jobs/{job.id}/download" if there else None
    return shown.model_copy(update={"download_url": url, "export_options": options})
