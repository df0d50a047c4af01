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


class Share(Response):
    """How many there are, and how many there may be; `null` is as many as one likes."""

    had: int
    allowed: int | None


class UseResponse(Response):
    """`running_jobs`: crawls, validations and exports under way. `images`: there, or asked for by what is under way.
    `bytes`: of images and of exports, until these expire."""

    running_jobs: Share
    images: Share
    bytes: Share


class ProfileResponse(Response):
    id: UUID
    email: str
    full_name: str | None = None
    avatar_url: str | None = None
    role: Role = Role.USER
    created_at: datetime
    updated_at: datetime


class OwnProfileResponse(ProfileResponse):
    """With what one has beside what one may have."""

    use: UseResponse
