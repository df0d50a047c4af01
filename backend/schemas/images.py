from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator

from backend.models.enums import ImageChange, ImageOutcome
from backend.schemas.base import Response


def _hex(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


Hex = Annotated[str, BeforeValidator(_hex)]


class ImageResponse(Response):
    """An image with its provenance and measures; hashes as lower-case hex."""

    id: int
    crawl_job_id: int
    original_url: str
    filename: str | None = None
    storage_url: str | None = None
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
    orientation: int | None = None
    animated: bool | None = None
    fetched_at: datetime | None = None
    change: ImageChange | None = None
