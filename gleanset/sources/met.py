"""The Metropolitan Museum of Art: photographs of its works, those in the public domain given away under CC0."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import only_keyword
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import compose_attribution, wants_any
from gleanset.sources.text import as_dict, as_list, clean, integer, plain, without_nothing
from gleanset.sources.throttle import Throttle
from gleanset.types import Candidate, Licence, Pace, Page, Query

URL = "https://collectionapi.metmuseum.org/public/collection/v1/"
_SERVICE = "The Met"
_PAGE_SIZE = 20  # objects, each a request of its own
_MAX_ID = 10**18
_THROTTLE = Throttle((403, 429))  # 403 is what its guard answers to a burst
_LICENCE = Licence("cc0", "1.0", "https://creativecommons.org/publicdomain/zero/1.0/")
_KEPT = ("department", "objectName", "classification", "culture", "period", "objectDate", "medium", "accessionNumber")

Fields = Mapping[str, Any]


class Met:
    """Search of the collection, then its objects one by one.

    A cursor is `place:id` of the last object asked for: the service has no pages of its own, so it is searched again.
    """

    name = "met"

    def __init__(self, http: Http, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, _SERVICE, wait, throttle=_THROTTLE)
        self._url = url.rstrip("/")

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        keyword = only_keyword(query, _SERVICE)
        last = None if cursor is None else _from_cursor(cursor)
        ids = await self._search(keyword) if wants_any(query, {_LICENCE.code}) else []
        start = 0 if last is None else _behind(ids, *last)
        going_on = True
        while going_on:
            stop = start + _PAGE_SIZE
            found = [picture for number in ids[start:stop] for picture in await self._pictures(number, query)]
            going_on = stop < len(ids)
            yield Page(tuple(found), f"{stop - 1}:{ids[stop - 1]}" if going_on else None)
            start = stop

    async def _search(self, keyword: str) -> list[int]:
        answer = await self._api.get(f"{self._url}/search", {"q": keyword, "hasImages": "true"})
        numbers = map(integer, as_list(answer.get("objectIDs")))
        return list(dict.fromkeys(number for number in numbers if number is not None and 0 < number < _MAX_ID))

    async def _pictures(self, number: int, query: Query) -> list[Candidate]:
        """The pictures of an object; none when it is gone, under copyright, or has no photograph."""
        item = await self._api.find(f"{self._url}/objects/{number}") or {}
        primary = clean(item.get("primaryImage"))
        if item.get("isPublicDomain") is not True or primary is None:
            return []
        more = [url for address in as_list(item.get("additionalImages")) if (url := clean(address))]
        return [_candidate(url, number, item, query) for url in dict.fromkeys([primary, *more])]


def _from_cursor(cursor: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,9}):(\d{1,18})", cursor, re.ASCII)
    if match is None:
        raise SourceError(f"{cursor!r} is not a cursor of {_SERVICE}: it is the place of an object and its id.")
    return int(match[1]), int(match[2])


def _behind(ids: Sequence[int], place: int, number: int) -> int:
    """The index behind the object, wherever the search has it now; behind its old place if it is gone."""
    if place < len(ids) and ids[place] == number:
        return place + 1
    return ids.index(number) + 1 if number in ids else place


def _candidate(url: str, number: int, item: Fields, query: Query) -> Candidate:
    title, creator = plain(item.get("title")), plain(item.get("artistDisplayName"))
    page_url = clean(item.get("objectURL"))
    return Candidate(
        url=url,
        label=query.label,
        source=Met.name,
        keyword=query.keyword,
        page_url=page_url,
        title=title,
        creator=creator,
        creator_url=clean(item.get("artistWikidata_URL")) or clean(item.get("artistULAN_URL")),
        licence=_LICENCE,
        attribution=compose_attribution(title, creator, _LICENCE, page_url),
        metadata=without_nothing(
            {name: clean(item.get(name)) for name in _KEPT}
            | {
                "id": number,
                "provider": Met.name,
                "credit": plain(item.get("creditLine")),
                "tags": [term for tag in as_list(item.get("tags")) if (term := clean(as_dict(tag).get("term")))],
            }
        ),
    )


INFO = SourceInfo(
    name=Met.name,
    title="The Metropolitan Museum of Art",
    needs="nothing",
    allows="1 request a second, each for one object with one or more pictures; all it finds",
    terms="Free to use; only pictures of works in the public domain are taken, which the museum gives under CC0.",
    page="https://metmuseum.github.io/",
    open=lambda http, options: Met(http, INFO.url_in(options)),
    url=URL,
    pace=Pace(at_once=1, interval=1.0),
    media={"images.metmuseum.org": Pace(at_once=2)},
    licence=_LICENCE.code,
)
