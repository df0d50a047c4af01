"""A first look at what a crawl would find."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from backend.schemas.crawl_requests import Wanted

MOST_ITEMS = 24


class PreviewRequest(Wanted):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"keywords": ["tern"], "options": {"sources": ["openverse"]}, "limit": 12}]}
    )

    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 12


class PreviewItem(BaseModel):
    """A picture that a source offers; nothing of it has been fetched."""

    url: str
    title: str | None = None
    creator: str | None = None
    licence: str | None = None
    source: str
    label: str
    page_url: str | None = None


class PreviewResponse(BaseModel):
    """`problems`: why a source gave nothing, in a sentence."""

    items: list[PreviewItem]
    problems: dict[str, str]
