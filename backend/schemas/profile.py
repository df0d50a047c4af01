from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from backend.models.enums import Role
from backend.schemas.base import Prose, Request, Response

_WEB = r"^https?://[^\s]+$"


class ProfileUpdate(Request):
    """A field that is left out stays as it is; None clears it."""

    full_name: Annotated[Prose, Field(max_length=100)] | None = None
    avatar_url: Annotated[Prose, Field(max_length=2000, pattern=_WEB)] | None = None


class ProfileResponse(Response):
    id: UUID
    email: str
    full_name: str | None = None
    avatar_url: str | None = None
    role: Role = Role.USER
    created_at: datetime
    updated_at: datetime
