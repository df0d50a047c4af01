"""The activity log: every change writes its entry in the transaction that makes the change."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import ActivityLog, Base


def note(session: AsyncSession, user_id: UUID | None, action: str, on: Base, **metadata: Any) -> None:
    """Remember who did what to which row; `action` is `noun.verb`."""
    session.add(
        ActivityLog(
            user_id=user_id,
            action=action,
            resource_type=type(on).__tablename__,
            resource_id=str(getattr(on, "id", "")),
            metadata_=metadata or None,
        )
    )
