from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from backend.schemas.base import Request, Response, storable
from backend.schemas.decisions import Note
from backend.schemas.images import Hex


class TakedownCreate(Request):
    """A URL, or the SHA-256 of the original or of a resized copy; exactly one of them."""

    url: Annotated[str | None, Field(default=None, min_length=1, max_length=8000), AfterValidator(storable)] = None
    sha256: Annotated[str | None, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = None
    note: Note | None = Field(default=None, description="Who asked for it, and why.")

    @model_validator(mode="after")
    def _one_of_them(self) -> TakedownCreate:
        if (self.url is None) == (self.sha256 is None):
            raise ValueError("Give either url or sha256.")
        return self


class TakedownResponse(Response):
    id: int
    url: str | None = None
    sha256: Hex | None = None
    note: str | None = None
    user_id: UUID | None = None
    created_at: datetime


class TakedownMade(TakedownResponse):
    """`images` rows were cleared, and `exports` that are finished hold some of them."""

    images: int
    exports: int
