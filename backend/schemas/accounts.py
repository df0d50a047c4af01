from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from backend.models.enums import Role, Scope
from backend.schemas.base import Name, Request, Response, storable

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=255, pattern=r"^[^@\s]+@[^@\s]+$"),
    AfterValidator(storable),
]
Password = Annotated[str, StringConstraints(max_length=1000), AfterValidator(storable)]


class PasswordChange(Request):
    """`old` may be left out shortly after a log-in by link."""

    old: Password | None = None
    new: Password


class SessionResponse(Response):
    """A browser that is logged in. `id` is not what its cookie says, and logs nobody in."""

    id: str
    user_agent: str | None
    current: bool
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime


class ApiKeyCreate(Request):
    """`read` looks, `write` changes what is in projects, `admin` manages keys and people; each holds those before."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)]
    expires_at: AwareDatetime | None = None


class ApiKeyResponse(Response):
    id: int
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewApiKeyResponse(ApiKeyResponse):
    """With the key itself. It is shown this once; only its hash is kept."""

    secret: str


class UserCreate(Request):
    email: Email
    full_name: Name | None = None
    role: Role = Role.USER


class UserUpdate(Request):
    """A field that is left out stays as it is."""

    role: Role | None = None
    disabled: bool | None = None


class UserResponse(Response):
    id: UUID
    email: str
    full_name: str | None
    role: Role
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime


class LinkResponse(Response):
    """A link that logs in once: an invitation, or the way back after a forgotten password."""

    url: str
    expires_at: datetime


class NewUserResponse(UserResponse):
    link: LinkResponse
