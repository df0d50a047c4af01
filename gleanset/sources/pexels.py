"""Pexels: photographs that photographers give away under its own licence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import only_keyword, page_number
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import compose_attribution
from gleanset.sources.text import as_dict, as_list, clean, integer, without_nothing
from gleanset.types import Candidate, Licence, Pace, Page, Query

URL = "https://api.pexels.com/v1/search"
_PAGE_SIZE = 80
_LAST_PAGE = 1000  # far behind any real end, for a service that would go on for ever
_LICENCE = Licence("pexels", None, "https://www.pexels.com/license/")


class Pexels:
    """Search of `api.pexels.com`. A cursor is the number of the next page."""

    name = "pexels"

    def __init__(self, http: Http, key: str, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, "Pexels", wait, key=key)
        self._headers = {"Authorization": key}
        self._url = url

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        params = _params(query)
        number: int | None = page_number(cursor, "Pexels", _LAST_PAGE)
        while number is not None:
            answer = await self._api.get(self._url, {**params, "page": str(number)}, headers=self._headers)
            photos = [as_dict(photo) for photo in as_list(answer.get("photos"))]
            more = bool(photos) and clean(answer.get("next_page")) is not None and number < _LAST_PAGE
            number = number + 1 if more else None
            yield Page(_candidates(photos, query), None if number is None else str(number))


def _params(query: Query) -> dict[str, str]:
    return {"query": only_keyword(query, "Pexels"), "per_page": str(_PAGE_SIZE)}


def _candidates(photos: list[dict[str, Any]], query: Query) -> tuple[Candidate, ...]:
    found: dict[str, Candidate] = {}
    for photo in photos:
        url = clean(as_dict(photo.get("src")).get("original"))
        if url:
            found.setdefault(clean(photo.get("id")) or url, _candidate(url, photo, query))
    return tuple(found.values())


def _candidate(url: str, photo: Mapping[str, Any], query: Query) -> Candidate:
    title, creator, page_url = clean(photo.get("alt")), clean(photo.get("photographer")), clean(photo.get("url"))
    return Candidate(
        url=url,
        label=query.label,
        source=Pexels.name,
        keyword=query.keyword,
        page_url=page_url,
        title=title,
        creator=creator,
        creator_url=clean(photo.get("photographer_url")),
        licence=_LICENCE,
        attribution=compose_attribution(title, creator, _LICENCE, page_url),
        metadata=without_nothing(
            {
                "id": integer(photo.get("id")),
                "provider": Pexels.name,
                "average_colour": clean(photo.get("avg_color")),
                "width": integer(photo.get("width")),
                "height": integer(photo.get("height")),
            }
        ),
    )


INFO = SourceInfo(
    name=Pexels.name,
    title="Pexels",
    needs="a key of your own, from https://www.pexels.com/api/",
    allows="200 requests an hour and 20,000 a month, of 80 pictures each",
    terms="Credit the photographer and link back to Pexels; its own licence forbids selling the pictures unaltered.",
    page="https://www.pexels.com/license/",
    open=lambda http, options: Pexels(http, INFO.key_in(options), INFO.url_in(options)),
    url=URL,
    pace=Pace(at_once=1, interval=1.0),
    licence=_LICENCE.code,
    key=True,
)
