"""NASA Image and Video Library: photographs and drawings of space, flight and the Earth, no licence stated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import only_keyword, page_number
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import UNKNOWN, compose_attribution, wants_any
from gleanset.sources.text import as_dict, as_list, clean, integer, without_nothing
from gleanset.types import Candidate, Pace, Page, Query

URL = "https://images-api.nasa.gov/"
_SERVICE = "NASA"
_DETAILS = "https://images.nasa.gov/details/"
_PAGE_SIZE = 100
_LAST_PAGE = 100
_ORIGINAL = "~orig."
_SIZES = (_ORIGINAL, "~large.", "~medium.", "~small.", "~thumb.")

Fields = Mapping[str, Any]


class Nasa:
    """Search of `images.nasa.gov`. A cursor is the number of the next page.

    Pictures are offered in their original size: where the search does not tell its address, the manifest does.
    """

    name = "nasa"

    def __init__(self, http: Http, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, _SERVICE, wait)
        self._url = url.rstrip("/")

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        params = {"q": only_keyword(query, _SERVICE), "media_type": "image", "page_size": str(_PAGE_SIZE)}
        number: int | None = page_number(cursor, _SERVICE, _LAST_PAGE)
        if not wants_any(query, {UNKNOWN}):
            yield Page((), None)
            return
        while number is not None:
            collection = await self._search(params, number)
            items = list(map(as_dict, as_list(collection.get("items"))))
            found = [candidate for item in items if (candidate := await self._candidate(item, query))]
            number = number + 1 if items and number < _LAST_PAGE and _goes_on(collection, number) else None
            yield Page(tuple(found), None if number is None else str(number))

    async def _search(self, params: dict[str, str], number: int) -> dict[str, Any]:
        """One page of results. Past its depth the service answers 400, which for page 1 means a bad query instead."""
        asked = params | {"page": str(number)}
        search = f"{self._url}/search"
        answer = await (self._api.get(search, asked) if number == 1 else self._api.find(search, asked, nothing=400))
        return as_dict((answer or {}).get("collection"))

    async def _candidate(self, item: Fields, query: Query) -> Candidate | None:
        data = as_dict(next(iter(as_list(item.get("data"))), None))
        links = list(map(as_dict, as_list(item.get("links"))))
        nasa_id = clean(data.get("nasa_id"))
        known = {url: link for link in links if (url := clean(link.get("href")))}
        url = _largest(known)
        if nasa_id and (url is None or _ORIGINAL not in url):
            url = _largest([*await self._manifest(nasa_id), *known])
        url = url or next((url for url, link in known.items() if link.get("render") == "image"), None)
        return _candidate(url, known.get(url, {}), data, query) if url else None

    async def _manifest(self, nasa_id: str) -> list[str]:
        """The addresses of all files of a picture; none when the library does not know it after all."""
        try:
            answer = await self._api.get(f"{self._url}/asset/{quote(nasa_id, safe='')}")
        except SourceError as error:
            if error.retryable:
                raise
            return []
        files = map(as_dict, as_list(as_dict(answer.get("collection")).get("items")))
        return [url for file in files if (url := clean(file.get("href")))]


def _largest(urls: Iterable[str]) -> str | None:
    """The largest of a picture's files; None when none of them is the picture."""
    sized = ((rank, url) for url in urls for rank, size in enumerate(_SIZES) if size in url.rpartition("/")[2])
    return min(sized, key=lambda pair: pair[0], default=(0, None))[1]


def _goes_on(collection: Fields, number: int) -> bool:
    total = integer(as_dict(collection.get("metadata")).get("total_hits"))
    if total is not None:
        return number * _PAGE_SIZE < total
    return any(as_dict(link).get("rel") == "next" for link in as_list(collection.get("links")))


def _candidate(url: str, link: Fields, data: Fields, query: Query) -> Candidate:
    nasa_id, title = clean(data.get("nasa_id")), clean(data.get("title"))
    creator = clean(data.get("photographer")) or clean(data.get("secondary_creator"))
    page_url = _DETAILS + quote(nasa_id, safe="") if nasa_id else None
    credit = _credit(creator)
    return Candidate(
        url=url,
        label=query.label,
        source=Nasa.name,
        keyword=query.keyword,
        page_url=page_url,
        title=title,
        creator=creator,
        attribution=compose_attribution(title, credit, None, page_url),
        metadata=without_nothing(
            {
                "id": nasa_id,
                "provider": Nasa.name,
                "credit": credit,
                "center": clean(data.get("center")),
                "tags": [word for keyword in as_list(data.get("keywords")) if (word := clean(keyword))],
                "description": clean(data.get("description")),
                "date_taken": clean(data.get("date_created")),
                "file_size": integer(link.get("size")),
                "width": integer(link.get("width")),
                "height": integer(link.get("height")),
            }
        ),
    )


def _credit(creator: str | None) -> str:
    """`NASA/Bill Ingalls`: NASA asks to be named as the source, beside whoever made the picture."""
    return creator if creator and "NASA" in creator else "/".join(filter(None, ("NASA", creator)))


INFO = SourceInfo(
    name=Nasa.name,
    title="NASA Image and Video Library",
    needs="nothing",
    allows="pages of 100 pictures, and a request more for each picture whose original the search does not name; "
    "at most 10,000 pictures a keyword",
    terms="Mostly free of copyright, but the service states no licence: each counts as `unknown` and keeps its credit.",
    page="https://www.nasa.gov/nasa-brand-center/images-and-media/",
    open=lambda http, options: Nasa(http, INFO.url_in(options)),
    url=URL,
    pace=Pace(at_once=2),
    media={"images-assets.nasa.gov": Pace(at_once=2)},
)
