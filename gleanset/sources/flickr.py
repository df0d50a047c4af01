"""Flickr: the photographs of its members, each under the licence its owner chose."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import only_keyword
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import compose_attribution, wants_any
from gleanset.sources.text import as_dict, as_list, clean, integer, plain, without_nothing
from gleanset.types import Candidate, Licence, Pace, Page, Query

URL = "https://api.flickr.com/services/rest"
_PAGE_SIZE = 500
_LAST_PAGE = 4000 // _PAGE_SIZE  # past 4,000 results a search repeats itself
_SIZES = ("o", "l", "c", "z")  # the original, then longer sides of 1024, 800 and 640 pixels
_NO_KEY = 100
_PASSING = {0, 10, 105, 106}  # the service or its search is not available
_SEARCH = {
    "method": "flickr.photos.search",
    "media": "photos",
    "safe_search": "1",
    "sort": "date-posted-desc",
    "per_page": str(_PAGE_SIZE),
    "extras": ",".join(
        ("license", "owner_name", "tags", "description", "date_upload", "date_taken", *(f"url_{s}" for s in _SIZES))
    ),
    "format": "json",
    "nojsoncallback": "1",
}


def _cc(code: str, version: str) -> Licence:
    return Licence(code, version, f"https://creativecommons.org/licenses/{code}/{version}/")


LICENCES = {
    0: Licence("all-rights-reserved"),
    1: _cc("by-nc-sa", "2.0"),
    2: _cc("by-nc", "2.0"),
    3: _cc("by-nc-nd", "2.0"),
    4: _cc("by", "2.0"),
    5: _cc("by-sa", "2.0"),
    6: _cc("by-nd", "2.0"),
    7: Licence("no-known-copyright-restrictions", None, "https://www.flickr.com/commons/usage/"),
    8: Licence("united-states-government-work", None, "https://www.usa.gov/copyright.shtml"),
    9: Licence("cc0", "1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    10: Licence("pdm", "1.0", "https://creativecommons.org/publicdomain/mark/1.0/"),
    11: _cc("by", "4.0"),
    12: _cc("by-sa", "4.0"),
    13: _cc("by-nd", "4.0"),
    14: _cc("by-nc", "4.0"),
    15: _cc("by-nc-sa", "4.0"),
    16: _cc("by-nc-nd", "4.0"),
}
"""By the number that Flickr gives each."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A page of the results that were uploaded until a moment (Unix time); of all results when it is None."""

    page: int = 1
    until: int | None = None

    def __str__(self) -> str:
        return str(self.page) if self.until is None else f"{self.page}@{self.until}"


class Flickr:
    """Search of Flickr, newest first. A cursor is `PAGE` or `PAGE@UNTIL`.

    A search shows 4,000 results at most, so behind these a new one begins at the upload time of the oldest of them. It
    repeats those of that very second, since there may be more of it than were seen.
    """

    name = "flickr"

    def __init__(self, http: Http, key: str, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, "Flickr", wait, key=key)
        self._key = key
        self._url = url

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        params = _params(query)
        place: _Place | None = _from_cursor(cursor)
        if not wants_any(query, {licence.code for licence in LICENCES.values()}):
            yield Page((), None)
            return
        while place is not None:
            bounds = {} if place.until is None else {"max_upload_date": str(place.until)}
            position = {"page": str(place.page), "api_key": self._key}
            answer = await self._api.get(self._url, params | bounds | position)
            self._raise_for_error(answer)
            photos = as_dict(answer.get("photos"))
            items = [as_dict(item) for item in as_list(photos.get("photo"))]
            place = _behind(place, items, integer(photos.get("pages")))
            yield Page(_candidates(items, query), None if place is None else str(place))

    def _raise_for_error(self, answer: Mapping[str, Any]) -> None:
        if answer.get("stat") == "ok":
            return
        code, said = integer(answer.get("code")), (clean(answer.get("message")) or "no reason given")[:500]
        if code == _NO_KEY:
            hint = f"Get one at {_KEYS} and set it in GLEANSET_SOURCE_KEYS."
            raise self._api.error(f"Flickr does not know the key ({code}): {said.rstrip('.')}. {hint}")
        raise self._api.error(f"Flickr refuses the query ({code}): {said}", retryable=code in _PASSING)


def _params(query: Query) -> dict[str, str]:
    params = _SEARCH | {"text": only_keyword(query, "Flickr")}
    if query.licences is not None:
        wanted = [number for number, licence in LICENCES.items() if licence.code in query.licences]
        params["license"] = ",".join(map(str, wanted))
    return params


def _from_cursor(cursor: str | None) -> _Place:
    if cursor is None:
        return _Place()
    match = re.fullmatch(rf"([1-{_LAST_PAGE}])(?:@([0-9]{{1,10}}))?", cursor)
    if match is None:
        raise SourceError(f"{cursor!r} is not a cursor of Flickr: it is a page up to {_LAST_PAGE}, or PAGE@UNTIL.")
    return _Place(int(match[1]), int(match[2]) if match[2] else None)


def _behind(place: _Place, items: list[dict[str, Any]], pages: int | None) -> _Place | None:
    """Where the search goes on behind this page; a short page is not the last one, an empty one is."""
    if not items or (pages is not None and place.page >= pages):
        return None
    if place.page < _LAST_PAGE:
        return _Place(place.page + 1, place.until)
    moments = (integer(item.get("dateupload")) for item in items)
    uploaded = [moment for moment in moments if moment is not None and 0 < moment < 10**10]
    if not uploaded:
        return None
    oldest = min(uploaded)
    if place.until is None or oldest < place.until:
        return _Place(1, oldest)
    if oldest > place.until:
        raise SourceError(
            "Flickr shows photos that were uploaded later than asked for. Try again later.", retryable=True
        )
    return _Place(1, place.until - 1)  # thousands in one second: the rest of them cannot be had


def _candidates(items: list[dict[str, Any]], query: Query) -> tuple[Candidate, ...]:
    found: dict[str, Candidate] = {}
    for item in items:
        size, url = next(((s, url) for s in _SIZES if (url := clean(item.get(f"url_{s}")))), ("", None))
        if url:
            found.setdefault(clean(item.get("id")) or url, _candidate(url, size, item, query))
    return tuple(found.values())


def _candidate(url: str, size: str, item: Mapping[str, Any], query: Query) -> Candidate:
    number, owner = clean(item.get("id")), quote(clean(item.get("owner")) or "", safe="@")
    page_url = f"https://www.flickr.com/photos/{owner}/{quote(number, safe='')}" if owner and number else None
    title, creator = _content(item.get("title")), clean(item.get("ownername"))
    licence = LICENCES.get(-1 if (given := integer(item.get("license"))) is None else given)
    return Candidate(
        url=url,
        label=query.label,
        source=Flickr.name,
        keyword=query.keyword,
        page_url=page_url,
        title=title,
        creator=creator,
        creator_url=f"https://www.flickr.com/people/{owner}/" if owner else None,
        licence=licence,
        attribution=compose_attribution(title, creator, licence, page_url),
        metadata=without_nothing(
            {
                "id": number,
                "provider": Flickr.name,
                "tags": (clean(item.get("tags")) or "").split(),
                "description": _content(item.get("description")),
                "date_taken": clean(item.get("datetaken")),
                "uploaded": integer(item.get("dateupload")),
                "width": integer(item.get(f"width_{size}")),
                "height": integer(item.get(f"height_{size}")),
            }
        ),
    )


def _content(value: Any) -> str | None:
    """The text of `{_content: ...}`, or of what Flickr gives without it."""
    return plain(as_dict(value).get("_content") if isinstance(value, dict) else value)


_KEYS = "https://www.flickr.com/services/apps/create/"
INFO = SourceInfo(
    name=Flickr.name,
    title="Flickr",
    needs=f"a key of your own, from {_KEYS}",
    allows="3,600 requests an hour, of 500 pictures each; as deep as there are pictures, newest first",
    terms="Every picture keeps its owner's licence, often all rights reserved: filter by licence.",
    page="https://www.flickr.com/help/terms/api",
    open=lambda http, options: Flickr(http, INFO.key_in(options), INFO.url_in(options)),
    url=URL,
    pace=Pace(at_once=1, interval=1.0),
    filters=True,
    key=True,
)
