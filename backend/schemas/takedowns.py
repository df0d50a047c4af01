from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from backend.schemas.base import Request, Response
from backend.schemas.decisions import Note
from backend.schemas.images import Hex

LONGEST_URL = 8000


class TakedownCreate(Request):
    """A URL, or the SHA-256 of the original or of a resized copy; exactly one of them."""

    url: Annotated[str, StringConstraints(max_length=LONGEST_URL, pattern=r"^https?://[!-~]+$")] | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)] | None = None
    note: Note | None = Field(default=None, description="Who asked for it, and why.")

    @model_validator(mode="after")
    def _one_of_them(self) -> TakedownCreate:
        if (self.url is None) == (self.sha256 is None):
            raise ValueError("Give either url or sha256.")
        return self

    @property
    def digest(self) -> bytes | None:
        return bytes.fromhex(self.sha256) if self.sha256 else None


def asked_of(image: str, note: str | None) -> dict[str, Any]:
    """What is asked in one field, an address or a hash, as the fields of `TakedownCreate`."""
    image = image.strip()
    return {"sha256" if re.fullmatch(r"[0-9a-fA-F]{64}", image) else "url": image, "note": note}


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
