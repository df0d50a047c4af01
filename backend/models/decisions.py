"""What people decided about pictures, by their bytes: it outlives the job in which they saw them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, String, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base
from backend.models.enums import Choice, allowed

if TYPE_CHECKING:
    from backend.models.profiles import Profile
    from backend.models.projects import Project


class Decision(Base):
    """Keep or reject: it wins over every verdict, in all jobs of the project. `id` is that of the latest change."""

    __tablename__ = "decisions"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity())
    choice: Mapped[str] = mapped_column(String(10))
    note: Mapped[str | None]
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("profiles.id", ondelete="SET NULL"))
    decided_at: Mapped[datetime] = mapped_column(server_default=func.now())

    project: Mapped[Project] = relationship(back_populates="decisions")
    user: Mapped[Profile | None] = relationship(back_populates="decisions")

    __table_args__ = (
        allowed("choice", Choice),
        CheckConstraint("octet_length(sha256) = 32", name="sha256"),
        Index("ix_decisions_user_id", "user_id"),
        Index("ix_decisions_project_id_id", "project_id", "id"),
    )


class Takedown(Base):
    """A URL, or bytes, that nobody may have any more, in any project; met again, it is refused."""

    __tablename__ = "takedowns"

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str | None]
    sha256: Mapped[bytes | None]
    note: Mapped[str | None]
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("profiles.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    user: Mapped[Profile | None] = relationship(back_populates="takedowns")

    __table_args__ = (
        CheckConstraint("octet_length(sha256) = 32", name="sha256"),
        CheckConstraint("url IS NOT NULL OR sha256 IS NOT NULL", name="target"),
        Index("ix_takedowns_user_id", "user_id"),
        Index("uq_takedowns_url", text("(md5(url)::uuid)"), unique=True, postgresql_where=text("url IS NOT NULL")),
        Index("uq_takedowns_sha256", "sha256", unique=True, postgresql_where=text("sha256 IS NOT NULL")),
    )


class ErasedBlob(Base):
    """Bytes that were erased from the image store lately: who is about to record the same looks whether they are there.

    The row is there before the erasure begins.
    """

    __tablename__ = "erased_blobs"

    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(server_default=func.now())
