from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

from backend.models.enums import Choice, ImageChange, ImageOutcome
from backend.schemas.base import Request, Response, storable


def _hex(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


Hex = Annotated[str, BeforeValidator(_hex)]


FILES = "/api/v1/images/"


class ImageResponse(Response):
    """An image with its provenance and measures; hashes as lower-case hex."""

    id: int
    crawl_job_id: int
    original_url: str
    filename: str | None = None
    storage_url: str | None = Field(
        default=None, description="Over the API where it can be had here: `/api/v1/images/{id}/file`."
    )
    width: int | None = None
    height: int | None = None
    file_size: int | None = None
    format: str | None = None

    label: str | None = None
    source: str | None = None
    keyword: str | None = None
    outcome: ImageOutcome = ImageOutcome.PENDING
    reason: str | None = None
    detail: str | None = None
    final_url: str | None = None

    page_url: str | None = None
    title: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    licence: str | None = None
    licence_version: str | None = None
    licence_url: str | None = None
    attribution: str | None = None
    metadata_: dict[str, Any] | None = None

    sha256: Hex | None = None
    pdq: Hex | None = None
    pdq_quality: int | None = None
    brightness: float | None = None
    contrast: float | None = None
    sharpness: float | None = None
    entropy: float | None = None
    uniformity: float | None = None
    colour: float | None = None
    border: float | None = None
    orientation: int | None = None
    animated: bool | None = None
    alpha: bool | None = None
    fetched_at: datetime | None = None
    change: ImageChange | None = None


Word = Annotated[str, Field(max_length=200), AfterValidator(storable)]
Label = Annotated[str, Field(max_length=2000), AfterValidator(storable)]
Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
Size = Annotated[int, Field(ge=0, le=2**63 - 1)]


class ImageFilter(Request):
    """Which images of a job; what is left out asks nothing."""

    outcome: ImageOutcome | None = Field(
        default=None, description="Downloaded ones, or with `reason` those that were not had, unless said otherwise."
    )
    reason: Word | None = Field(default=None, description="Why it was not had.")
    label: Label | None = None
    source: Word | None = None
    licence: Word | None = Field(default=None, description="A licence code, or `unknown` for none.")
    min_width: Number | None = None
    max_width: Number | None = None
    min_height: Number | None = None
    max_height: Number | None = None
    min_file_size: Size | None = None
    max_file_size: Size | None = None
    text: Word | None = Field(default=None, description="Words in the title, the creator or the URL, in one piece.")
    validation_job_id: Number | None = Field(
        default=None, description="Whose verdicts count; those of the latest completed validation without it."
    )
    valid: bool | None = None
    verdict: Word | None = Field(default=None, description="A rule that the image breaks.")
    decision: Choice | None = None

    def asked(self) -> dict[str, str]:
        """What is asked, as a query string has it."""
        return {name: str(value) for name, value in self.model_dump(mode="json", exclude_none=True).items()}


class ImageQuery(ImageFilter):
    cursor: str | None = Field(default=None, max_length=500, description="`next` of the page before.")
    limit: int = Field(default=50, ge=1, le=200, description="Most images on the page.")


class ImageItem(ImageResponse):
    """An image in a list, with the verdict asked for and what a person decided, which wins."""

    valid: bool | None = None
    verdict_reasons: list[str] | None = None
    decision: Choice | None = None


class VerdictResponse(Response):
    validation_job_id: int
    valid: bool
    reasons: list[str]
    duplicate_of: int | None = Field(
        default=None, description="The image that stands for this one, of this job or an earlier one."
    )


class DecisionResponse(Response):
    """Who decided what about these bytes, when and why."""

    project_id: int
    sha256: Hex
    choice: Choice
    note: str | None = None
    user_id: UUID | None = None
    decided_at: datetime


class ImageDetail(ImageResponse):
    project_id: int
    verdicts: list[VerdictResponse]
    decision: DecisionResponse | None


class Neighbour(ImageItem):
    """An image that looks alike. `distance`: bits of 256 in which the two perceptual hashes differ."""

    distance: int
    identical: bool = Field(description="The same bytes.")


class Neighbours(Response):
    items: list[Neighbour]
    compared: int = Field(description="Images of the job that were compared: those that were met around this one.")


class Histogram(Response):
    """`counts[n]` are the images from `edges[n-1]` to below `edges[n]`; the first and last counts are open-ended."""

    edges: list[float]
    counts: list[int]


class Statistics(Response):
    """Of a job's downloads. Of a large job every so many-th image is looked at, and counts are multiplied by that."""

    images: int = Field(description="Downloads that the figures stand for.")
    every: int = Field(description="1 when every image is counted; n when every n-th is, and stands for n.")
    labels: dict[str, int] = Field(description="The most frequent 200.")
    sources: dict[str, int]
    licences: dict[str, int]
    formats: dict[str, int]
    shorter_side: Histogram = Field(description="Pixels.")
    aspect_ratio: Histogram = Field(description="Width / height.")
    file_size: Histogram = Field(description="Bytes.")
    sharpness: Histogram
    brightness: Histogram
