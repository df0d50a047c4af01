from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import REAL, BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, String, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Synonym, mapped_column, relationship, synonym

from backend.models.base import Base, not_negative
from backend.models.enums import ImageChange, ImageOutcome, allowed

if TYPE_CHECKING:
    from backend.models.crawl_jobs import CrawlJob
    from backend.models.verdicts import Verdict


class Image(Base):
    """A URL that a crawl job met: where it comes from, what became of it, and what its pixels measure.

    Also those refused or failed have their row, so every URL is accounted for. Units of the measures: `gleanset.types`.
    """

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    crawl_job_id: Mapped[int] = mapped_column(ForeignKey("crawl_jobs.id", ondelete="CASCADE"))
    original_url: Mapped[str]
    filename: Mapped[str | None] = mapped_column(String(255))
    storage_url: Mapped[str | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    file_size: Mapped[int | None] = mapped_column(BigInteger)
    format: Mapped[str | None] = mapped_column(String(10))

    label: Mapped[str | None]
    source: Mapped[str | None] = mapped_column(String(50))
    keyword: Mapped[str | None]
    outcome: Mapped[str] = mapped_column(String(20), default=ImageOutcome.PENDING.value, server_default="pending")
    reason: Mapped[str | None] = mapped_column(String(50))
    detail: Mapped[str | None]
    final_url: Mapped[str | None]

    page_url: Mapped[str | None]
    title: Mapped[str | None]
    creator: Mapped[str | None]
    creator_url: Mapped[str | None]
    licence: Mapped[str | None] = mapped_column(String(50))
    licence_version: Mapped[str | None] = mapped_column(String(20))
    licence_url: Mapped[str | None]
    attribution: Mapped[str | None]
    metadata_: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))

    sha256: Mapped[bytes | None]
    pdq: Mapped[bytes | None]
    pdq_quality: Mapped[int | None] = mapped_column(SmallInteger)
    brightness: Mapped[float | None] = mapped_column(REAL)
    contrast: Mapped[float | None] = mapped_column(REAL)
    sharpness: Mapped[float | None] = mapped_column(REAL)
    entropy: Mapped[float | None] = mapped_column(REAL)
    uniformity: Mapped[float | None] = mapped_column(REAL)
    colour: Mapped[float | None] = mapped_column(REAL)
    border: Mapped[float | None] = mapped_column(REAL)
    orientation: Mapped[int | None] = mapped_column(SmallInteger)
    animated: Mapped[bool | None]
    alpha: Mapped[bool | None]
    fetched_at: Mapped[datetime | None]

    resized_sha256: Mapped[bytes | None]
    resized_width: Mapped[int | None]
    resized_height: Mapped[int | None]
    resized_size: Mapped[int | None] = mapped_column(BigInteger)
    # Of the file that `filename` names; NULL in rows from before 013, whose files are held to their SHA-256.
    crc32: Mapped[int | None] = mapped_column(BigInteger)

    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
    change: Mapped[str | None] = mapped_column(String(20))

    crawl_job: Mapped[CrawlJob] = relationship(back_populates="images")
    verdicts: Mapped[list[Verdict]] = relationship(
        back_populates="image",
        cascade="all, delete-orphan",
        passive_deletes=True,
        primaryjoin="Image.id == foreign(Verdict.image_id)",
    )
    url: Synonym[str] = synonym("original_url")

    __table_args__ = (
        allowed("outcome", ImageOutcome),
        allowed("change", ImageChange),
        *not_negative("width", "height", "file_size"),
        CheckConstraint("octet_length(sha256) = 32", name="sha256"),
        CheckConstraint("octet_length(pdq) = 32", name="pdq"),
        CheckConstraint("octet_length(resized_sha256) = 32", name="resized_sha256"),
        Index("ix_image_crawl_job_id", "crawl_job_id"),
        # A URL once per job. Its md5, because a btree row holds at most about 2.7 kB and URLs can be longer; URL first,
        # so that the planner does not prefer this wider index where ix_image_crawl_job_id serves.
        Index("uq_images_original_url_crawl_job_id", text("(md5(original_url)::uuid)"), "crawl_job_id", unique=True),
        Index("ix_images_sha256_crawl_job_id", "sha256", "crawl_job_id"),
        Index("ix_images_resized_sha256", "resized_sha256", postgresql_where=text("resized_sha256 IS NOT NULL")),
        # Keyset pages of the images that a job really has.
        Index("ix_images_downloaded", "crawl_job_id", "id", postgresql_where=text("outcome = 'downloaded'")),
        # Those of one label, and those that it does not have.
        Index(
            "ix_images_label",
            "crawl_job_id",
            text("(md5(label)::uuid)"),
            "id",
            postgresql_where=text("outcome = 'downloaded'"),
        ),
        # Those that a redirect led to a URL: a takedown asks for them.
        Index(
            "ix_images_final_url",
            text("(md5(final_url)::uuid)"),
            postgresql_where=text("final_url <> original_url"),
        ),
        Index("ix_images_not_downloaded", "crawl_job_id", "id", postgresql_where=text("outcome <> 'downloaded'")),
    )
