from __future__ import annotations

from backend.schemas.base import Response


class ListResponse(Response):
    """An uploaded list. A crawl job takes it as `options.lists: [{"key": ...}]`. `url_column` is a guess."""

    key: str
    name: str
    format: str
    columns: list[str]
    url_column: str | None = None
    rows: int
