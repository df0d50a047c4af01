from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from backend.models.enums import Choice
from backend.schemas.base import Request, Response, storable

ImageIds = Annotated[list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Field(min_length=1, max_length=1000)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(storable)]


class DecisionCreate(Request):
    """Keep or reject these images, and with them every image of the project with the same bytes."""

    choice: Choice
    image_ids: ImageIds
    note: Note | None = Field(default=None, description="Why.")


class DecisionUndo(Request):
    image_ids: ImageIds


class Decided(Response):
    """How many different pictures, and how many images of the project's jobs, the decision concerns."""

    pictures: int
    images: int
