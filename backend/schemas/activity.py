from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from backend.schemas.base import Response


class ActivityLogResponse(Response):
    id: int
    user_id: UUID | None = None
    action: str
    resource_type: str | None = None
    resource_id: str | None = None
    metadata_: dict[str, Any] | None = None
    timestamp: datetime
