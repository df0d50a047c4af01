from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import EMPTY_OBJECT, Base, JobMixin, counter, not_negative, percentage
from backend.models.enums import Delivery, JobStatus, allowed

if TYPE_CHECKING:
    from backend.models.crawl_jobs import CrawlJob
    from backend.models.profiles import Profile
    from backend.models.splits import ExportSplit
    from backend.models.verdicts import Verdict


class ValidationJob(JobMixin, Base):
    """Judges every downloaded image of a crawl job by rules."""

    __tablename__ = "validation_jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    crawl_job_id: Mapped[int] = mapped_column(ForeignKey("crawl_jobs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    total_images: Mapped[int] = counter()
    validated_images: Mapped[int] = counter()
    invalid_images: Mapped[int] = counter()
    validation_rules: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=EMPTY_OBJECT)
    rules_name: Mapped[str | None] = mapped_column(String(100))
    rules_version: Mapped[int | None] = mapped_column(SmallInteger)
    rules_hash: Mapped[bytes | None]

    crawl_job: Mapped[CrawlJob] = relationship(back_populates="validation_jobs")
    verdicts: Mapped[list[Verdict]] = relationship(
        back_populates="validation_job",
        cascade="all, delete-orphan",
        passive_deletes=True,
        primaryjoin="ValidationJob.id == foreign(Verdict.validation_job_id)",
    )

    __table_args__ = (
        allowed("status", JobStatus),
        percentage("progress"),
        *not_negative("total_images", "validated_images", "invalid_images"),
        CheckConstraint("octet_length(rules_hash) = 32", name="rules_hash"),
        Index("ix_validation_job_status", "status"),
        Index("ix_validation_job_crawl_job_id", "crawl_job_id"),
    )


class ExportJob(JobMixin, Base):
    """Packs the valid images of a crawl job for download."""

    __tablename__ = "export_jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    crawl_job_id: Mapped[int] = mapped_column(ForeignKey("crawl_jobs.id", ondelete="CASCADE"))
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    format: Mapped[str] = mapped_column(String(20), default="zip", server_default="zip")
    total_images: Mapped[int] = counter()
    exported_images: Mapped[int] = counter()
    file_size: Mapped[int | None] = mapped_column(BigInteger)
    download_url: Mapped[str | None]
    attempts: Mapped[int] = counter()
    export_options: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=EMPTY_OBJECT)
    expires_at: Mapped[datetime | None]
    sha256: Mapped[bytes | None]
    taken_down_images: Mapped[int] = counter()
    splits: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict, server_default=EMPTY_OBJECT)
    left_out_images: Mapped[int] = counter()
    moved_images: Mapped[int] = counter()
    delivery: Mapped[str | None] = mapped_column(String(20))

    crawl_job: Mapped[CrawlJob] = relationship(back_populates="export_jobs")
    user: Mapped[Profile] = relationship(back_populates="export_jobs")
    split_hashes: Mapped[list[ExportSplit]] = relationship(
        back_populates="export_job", cascade="all, delete-orphan", passive_deletes=True
    )

    __table_args__ = (
        allowed("status", JobStatus),
        allowed("delivery", Delivery),
        percentage("progress"),
        *not_negative("total_images", "exported_images", "file_size", "attempts", "taken_down_images"),
        *not_negative("left_out_images", "moved_images"),
        CheckConstraint("octet_length(sha256) = 32", name="sha256"),
        Index("ix_export_job_status", "status"),
        Index("ix_export_job_user_id", "user_id"),
        Index("ix_export_job_crawl_job_id", "crawl_job_id"),
    )
