from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base, TimestampMixin
from backend.models.enums import Role, allowed

if TYPE_CHECKING:
    from backend.models.accounts import ApiKey, Credential, IdempotencyKey, LoginLink, LoginSession
    from backend.models.activity import ActivityLog
    from backend.models.decisions import Decision, Takedown
    from backend.models.jobs import ExportJob
    from backend.models.projects import Project


class Profile(TimestampMixin, Base):
    """A person. The id is the identity provider's, so the database makes none."""

    __tablename__ = "profiles"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255))
    full_name: Mapped[str | None] = mapped_column(String(100))
    avatar_url: Mapped[str | None]
    role: Mapped[str] = mapped_column(String(20), default=Role.USER.value, server_default="user")
    disabled_at: Mapped[datetime | None]

    projects: Mapped[list[Project]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )
    export_jobs: Mapped[list[ExportJob]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )
    credential: Mapped[Credential | None] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )
    sessions: Mapped[list[LoginSession]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )
    login_links: Mapped[list[LoginLink]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )
    api_keys: Mapped[list[ApiKey]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )
    idempotency_keys: Mapped[list[IdempotencyKey]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )
    # These outlive the person: the database sets user_id to NULL.
    activity_logs: Mapped[list[ActivityLog]] = relationship(back_populates="user", passive_deletes="all")
    decisions: Mapped[list[Decision]] = relationship(back_populates="user", passive_deletes="all")
    takedowns: Mapped[list[Takedown]] = relationship(back_populates="user", passive_deletes="all")

    __table_args__ = (
        allowed("role", Role),
        Index("ix_profiles_email", "email"),
        Index("uq_profiles_lower_email", text("lower(email)"), unique=True),
    )
