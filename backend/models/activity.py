from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base

if TYPE_CHECKING:
    from backend.models.profiles import Profile


class ActivityLog(Base):
    """Who did what, when. The entry stays when the person goes."""

    __tablename__ = "activity_logs"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("profiles.id", ondelete="SET NULL"))
    action: Mapped[str]
    resource_type: Mapped[str | None] = mapped_column(String(50))
    resource_id: Mapped[str | None] = mapped_column(String(50))
    metadata_: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    timestamp: Mapped[datetime] = mapped_column(server_default=func.now())
    # Whose the thing is that it was done to: that thing may be gone when they read it. No key, as it only narrows.
    owner_id: Mapped[uuid.UUID | None]

    user: Mapped[Profile | None] = relationship(back_populates="activity_logs")

    __table_args__ = (
        Index("ix_activity_log_user_id", "user_id"),
        Index("ix_activity_log_timestamp", "timestamp"),
        Index("ix_activity_log_resource", "resource_type", "resource_id"),
        Index("ix_activity_log_owner_id", "owner_id", "id"),
        # What people did to what is not theirs: with the index above, all that a person reads, newest first.
        Index(
            "ix_activity_log_elsewhere",
            "user_id",
            "id",
            postgresql_where=text("owner_id IS DISTINCT FROM user_id"),
        ),
    )
