"""What all schemas share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, computed_field

from backend.models.enums import JobStatus

Value = TypeVar("Value")


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[object, object]", value).items():
            yield from (*_texts(key), *_texts(item))
    elif isinstance(value, list | tuple):
        for item in cast("Iterable[object]", value):
            yield from _texts(item)


def storable(value: Value) -> Value:
    """Refuse text that PostgreSQL cannot hold: NUL characters, and halves of surrogate pairs (a UnicodeEncodeError)."""
    for text in _texts(value):
        text.encode()
        if "\0" in text:
            raise ValueError("Text must not contain NUL characters.")
    return value


class Misplaced(ValueError):
    """What is wrong with one part of what is looked at as a whole; `at`: which part, a path below it."""

    def __init__(self, message: str, at: str | None) -> None:
        super().__init__(message)
        self.at = at


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(storable)]
Prose = Annotated[str, AfterValidator(storable)]
RowId = Annotated[int, Field(ge=1, le=2**31 - 1)]
Json = Annotated[dict[str, Any], AfterValidator(storable)]


class Request(BaseModel):
    """A body that a caller sends. An unknown field is an error, so a misspelt one is not lost in silence."""

    model_config = ConfigDict(extra="forbid")


class Response(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class JobResponse(Response):
    """What crawl, validation and export jobs have in common."""

    id: int
    name: str
    status: JobStatus = JobStatus.PENDING
    progress: int = Field(default=0, ge=0, le=100)
    total_images: int = 0
    error_message: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    @computed_field
    @property
    def is_running(self) -> bool:
        return self.status == JobStatus.RUNNING

    @computed_field
    @property
    def is_completed(self) -> bool:
        return self.status == JobStatus.COMPLETED


def percent(part: int, whole: int) -> float:
    """Share in percent, 0.0 of nothing."""
    return 100.0 * part / whole if whole else 0.0
