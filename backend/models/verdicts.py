from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base

if TYPE_CHECKING:
    from backend.models.images import Image
    from backend.models.jobs import ValidationJob


class Verdict(Base):
    """What one validation job found about one image: valid, or every reason why not.

    `duplicate_of`: the image of the same job that stands for it. No foreign key: images go only with their whole job,
    and its verdicts with them, which a key would ask for one by one.
    """

    __tablename__ = "verdicts"

    validation_job_id: Mapped[int] = mapped_column(
        ForeignKey("validation_jobs.id", ondelete="CASCADE"), primary_key=True
    )
    image_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    valid: Mapped[bool]
    reasons: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default=text("'{}'::text[]"))
    duplicate_of: Mapped[int | None] = mapped_column(BigInteger)

    validation_job: Mapped[ValidationJob] = relationship(back_populates="verdicts")
    image: Mapped[Image] = relationship(back_populates="verdicts")

    __table_args__ = (
        Index("ix_verdicts_image_id", "image_id"),
        Index("ix_verdicts_invalid", "validation_job_id", "image_id", postgresql_where=text("NOT valid")),
        Index(
            "ix_verdicts_duplicates",
            "validation_job_id",
            "duplicate_of",
            postgresql_where=text("duplicate_of IS NOT NULL"),
        ),
    )
