from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base, TimestampMixin
from backend.models.enums import ProjectStatus, allowed

if TYPE_CHECKING:
    from backend.models.crawl_jobs import CrawlJob
    from backend.models.decisions import Decision
    from backend.models.profiles import Profile


class Project(TimestampMixin, Base):
    """A container of crawl jobs that belongs to one person."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(String(20), default=ProjectStatus.ACTIVE.value, server_default="active")
    deleted_at: Mapped[datetime | None]
    purge_began_at: Mapped[datetime | None]

    user: Mapped[Profile] = relationship(back_populates="projects")
    crawl_jobs: Mapped[list[CrawlJob]] = relationship(
        back_populates="project", cascade="all, delete-orphan", passive_deletes=True
    )
    decisions: Mapped[list[Decision]] = relationship(
        back_populates="project", cascade="all, delete-orphan", passive_deletes=True
    )

    __table_args__ = (allowed("status", ProjectStatus), Index("ix_project_user_id", "user_id"))
