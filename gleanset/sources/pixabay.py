"""Pixabay: photographs and illustrations under its own licence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import only_keyword, page_number
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import compose_attribution
from gleanset.sources.text import as_dict, as_list, clean, integer, without_nothing
from gleanset.types import Candidate, Licence, Pace, Page, Query

URL = "https://pixabay.com/api/"
_PAGE_SIZE = 200
_LAST_PAGE = 100  # far behind any real end (500 hits a query are usual), for a service that would go on for ever
_MAX_KEYWORD = 100
_PICTURES = ("imageURL", "largeImageURL", "webformatURL")  # the original, for keys that may have it, then 1280, 640
_LICENCE = Licence("pixabay", None, "https://pixabay.com/service/license-summary/")


class Pixabay:
    """Search of `pixabay.com`. A cursor is the number of the next page."""

    name = "pixabay"

    def __init__(self, http: Http, key: str, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, "Pixabay", wait, key=key)
        self._key = key
        self._url = url

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        params = _params(query)
        number: int | None = page_number(cursor, "Pixabay", _LAST_PAGE)
        while number is not None:
            answer = await self._api.get(self._url, {**params, "page": str(number), "key": self._key})
            hits = [as_dict(hit) for hit in as_list(answer.get("hits"))]
            more = bool(hits) and number < min(_page_count(answer), _LAST_PAGE)
            number = number + 1 if more else None
            yield Page(_candidates(hits, query), None if number is None else str(number))


def _params(query: Query) -> dict[str, str]:
    return {"q": only_keyword(query, "Pixabay")[:_MAX_KEYWORD], "safesearch": "true", "per_page": str(_PAGE_SIZE)}


def _page_count(answer: Mapping[str, Any]) -> int:
    """Pages of the hits that can be had; asking for a page behind them is an error."""
    return -(-(integer(answer.get("totalHits")) or 0) // _PAGE_SIZE)


def _candidates(hits: list[dict[str, Any]], query: Query) -> tuple[Candidate, ...]:
    found: dict[str, Candidate] = {}
    for hit in hits:
        url = next((url for name in _PICTURES if (url := clean(hit.get(name)))), None)
        if url:
            found.setdefault(clean(hit.get("id")) or url, _candidate(url, hit, query))
    return tuple(found.values())


def _candidate(url: str, hit: Mapping[str, Any], query: Query) -> Candidate:
    creator, number, page_url = clean(hit.get("user")), integer(hit.get("user_id")), clean(hit.get("pageURL"))
    person = f"{quote(creator, safe='')}-{number}" if creator and number else None
    return Candidate(
        url=url,
        label=query.label,
        source=Pixabay.name,
        keyword=query.keyword,
        page_url=page_url,
        creator=creator,
        creator_url=f"https://pixabay.com/users/{person}/" if person else None,
        licence=_LICENCE,
        attribution=compose_attribution(None, creator, _LICENCE, page_url),
        metadata=without_nothing(
            {
                "id": integer(hit.get("id")),
                "provider": Pixabay.name,
                "type": clean(hit.get("type")),
                "tags": [tag for text in (clean(hit.get("tags")) or "").split(",") if (tag := text.strip())],
                "width": integer(hit.get("imageWidth")),
                "height": integer(hit.get("imageHeight")),
            }
        ),
    )


INFO = SourceInfo(
    name=Pixabay.name,
    title="Pixabay",
    needs="a key of your own, from https://pixabay.com/api/docs/",
    allows="100 requests a minute, of 200 pictures each; at most about 500 pictures a keyword",
    terms="No systematic mass downloads; say where they are from; its own licence forbids selling them unaltered.",
    page="https://pixabay.com/service/license-summary/",
    open=lambda http, options: Pixabay(http, INFO.key_in(options), INFO.url_in(options)),
    url=URL,
    pace=Pace(at_once=1, interval=0.6),
    licence=_LICENCE.code,
    key=True,
)
