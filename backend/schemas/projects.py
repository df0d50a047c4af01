from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from backend.models.enums import ProjectStatus
from backend.schemas.base import Name, Prose, Request, Response
from backend.schemas.crawl_jobs import CrawlJobResponse


class ProjectCreate(Request):
    name: Name
    description: Prose | None = None


class ProjectUpdate(Request):
    """A field that is left out stays as it is."""

    name: Name | None = None
    description: Prose | None = None
    status: ProjectStatus | None = None


class ProjectResponse(Response):
    id: int
    name: str
    description: str | None = None
    user_id: UUID
    status: ProjectStatus = ProjectStatus.ACTIVE
    created_at: datetime
    updated_at: datetime


class DeletedProjectResponse(ProjectResponse):
    """`restorable_until`: none when its removal has begun. `images` and `bytes` go with it, and count until then."""

    deleted_at: datetime | None = None
    restorable_until: datetime | None = None
    owner: str
    images: int
    bytes: int


class ProjectDetailResponse(ProjectResponse):
    crawl_jobs: list[CrawlJobResponse] = Field(default_factory=list[CrawlJobResponse])
