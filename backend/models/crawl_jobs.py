from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import EMPTY_ARRAY, EMPTY_OBJECT, Base, JobMixin, counter, not_negative, percentage
from backend.models.enums import JobStatus, allowed

if TYPE_CHECKING:
    from backend.models.chunks import CrawlChunk
    from backend.models.images import Image
    from backend.models.jobs import ExportJob, ValidationJob
    from backend.models.projects import Project


class CrawlJob(JobMixin, Base):
    """A task to gather images. Its keywords are a list, or label -> keywords; its counters sum those of its chunks."""

    __tablename__ = "crawl_jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    keywords: Mapped[list[str] | dict[str, list[str]]] = mapped_column(JSONB)
    max_images: Mapped[int] = mapped_column(default=1000, server_default="1000")
    total_images: Mapped[int] = counter()
    downloaded_images: Mapped[int] = counter()
    duplicate_images: Mapped[int] = counter()
    valid_images: Mapped[int] = counter()
    total_chunks: Mapped[int] = counter()
    active_chunks: Mapped[int] = counter()
    completed_chunks: Mapped[int] = counter()
    failed_chunks: Mapped[int] = counter()
    task_ids: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default=EMPTY_ARRAY)
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=EMPTY_OBJECT)

    project: Mapped[Project] = relationship(back_populates="crawl_jobs")
    chunks: Mapped[list[CrawlChunk]] = relationship(
        back_populates="crawl_job", cascade="all, delete-orphan", passive_deletes=True, order_by="CrawlChunk.position"
    )
    images: Mapped[list[Image]] = relationship(
        back_populates="crawl_job", cascade="all, delete-orphan", passive_deletes=True
    )
    validation_jobs: Mapped[list[ValidationJob]] = relationship(
        back_populates="crawl_job", cascade="all, delete-orphan", passive_deletes=True
    )
    export_jobs: Mapped[list[ExportJob]] = relationship(
        back_populates="crawl_job", cascade="all, delete-orphan", passive_deletes=True
    )

    @property
    def distinct_images(self) -> int:
        """Downloads that count against max_images: the same bytes once."""
        return self.downloaded_images - self.duplicate_images

    __table_args__ = (
        allowed("status", JobStatus),
        percentage("progress"),
        *not_negative(
            "max_images",
            "total_images",
            "downloaded_images",
            "duplicate_images",
            "valid_images",
            "total_chunks",
            "active_chunks",
            "completed_chunks",
            "failed_chunks",
        ),
        Index("ix_crawl_job_status", "status"),
        Index("ix_crawl_jobs_project_id", "project_id"),
        Index("ix_crawl_job_project_status", "project_id", "status"),
    )
