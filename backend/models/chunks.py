from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import EMPTY_OBJECT, Base, TimestampMixin, counter, not_negative
from backend.models.enums import JobStatus, allowed

if TYPE_CHECKING:
    from backend.models.crawl_jobs import CrawlJob


class CrawlChunk(TimestampMixin, Base):
    """The part of a crawl job that one task runs: one keyword of one source, or one slice of a list.

    `cursor` is where the source goes on when the task is run again; `quota` the most images the chunk may download;
    `reasons` counts what was not had, by reason code, and `changes` what a refresh found.
    """

    __tablename__ = "crawl_chunks"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    crawl_job_id: Mapped[int] = mapped_column(ForeignKey("crawl_jobs.id", ondelete="CASCADE"))
    position: Mapped[int]
    source: Mapped[str] = mapped_column(String(50))
    label: Mapped[str]
    keyword: Mapped[str | None]
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=EMPTY_OBJECT)
    status: Mapped[str] = mapped_column(String(20), default=JobStatus.PENDING.value, server_default="pending")
    quota: Mapped[int | None]
    cursor: Mapped[str | None]
    exhausted: Mapped[bool] = mapped_column(default=False, server_default="false")
    attempts: Mapped[int] = counter()
    total_images: Mapped[int] = counter()
    downloaded_images: Mapped[int] = counter()
    duplicate_images: Mapped[int] = counter()
    bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    reasons: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict, server_default=EMPTY_OBJECT)
    changes: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict, server_default=EMPTY_OBJECT)
    error_message: Mapped[str | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    crawl_job: Mapped[CrawlJob] = relationship(back_populates="chunks")

    @property
    def distinct_images(self) -> int:
        """Downloads that count: the same bytes once in the whole job."""
        return self.downloaded_images - self.duplicate_images

    __table_args__ = (
        allowed("status", JobStatus),
        *not_negative(
            "position", "quota", "attempts", "total_images", "downloaded_images", "duplicate_images", "bytes"
        ),
        UniqueConstraint("crawl_job_id", "position"),
    )
