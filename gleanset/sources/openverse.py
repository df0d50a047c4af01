"""Openverse: openly licensed pictures of many collections behind one keyless search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import compose_attribution, parse_licence
from gleanset.sources.queries import first_page
from gleanset.sources.text import as_dict, as_list, clean, integer, jsonable, without_nothing
from gleanset.types import Candidate, Page, Query

URL = "https://api.openverse.org/v1/"
_PAGE_SIZE = 20  # the most an anonymous request may ask for; more is answered with 401
_DEPTH = 240  # results a query, for everybody
_LAST_PAGE = _DEPTH // _PAGE_SIZE
_MAX_KEYWORD = 200
_SEARCHES = ("creator", "tags", "title")
_FILTERS = (
    *("source", "excluded_source", "license", "license_type", *_SEARCHES, "extension", "category"),
    *("aspect_ratio", "size", "filter_dead", "mature"),
)
_LICENCES = {"by", "by-nc", "by-nc-nd", "by-nc-sa", "by-nd", "by-sa", "cc0", "pdm", "sampling+", "nc-sampling+"}
_KEPT = ("id", "provider", "source", "category", "filetype", "mature", "indexed_on", "thumbnail", "detail_url")


class Openverse:
    """Search of `api.openverse.org`. A cursor is the number of the next page."""

    name = "openverse"

    def __init__(self, http: Http, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, "Openverse", wait)
        self._search = f"{url.rstrip('/')}/images/"

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        params = _params(query)
        number: int | None = first_page(cursor, "Openverse", _LAST_PAGE)
        while number is not None:
            answer = await self._api.get(self._search, {**params, "page": str(number)})
            found = _candidates(as_list(answer.get("results")), query)
            number = _next_page(number, answer)
            yield Page(found, None if number is None else str(number))


def _params(query: Query) -> dict[str, str]:
    unknown = sorted(set(query.options) - set(_FILTERS))
    if unknown:
        raise SourceError(f"Openverse has no option {', '.join(unknown)}. Its options are: {', '.join(_FILTERS)}.")
    if "source" in query.options and "excluded_source" in query.options:
        raise SourceError("Openverse takes either source or excluded_source, not both.")
    params = {name: _parameter(value) for name, value in query.options.items()}
    if query.licences and "license" not in params:
        params["license"] = ",".join(sorted(query.licences & _LICENCES))
    keyword = clean(query.keyword)
    if keyword:
        params["q"] = keyword[:_MAX_KEYWORD]
    elif not any(params.get(name) for name in _SEARCHES):
        raise SourceError("Openverse needs a keyword to search for.")
    return {**params, "page_size": str(_PAGE_SIZE)}


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, as_list(value))) if isinstance(value, list) else str(value)


def _next_page(number: int, answer: Mapping[str, Any]) -> int | None:
    """The page behind this one. A short page is not the last one: dead links are filtered out of full pages."""
    page_count = integer(answer.get("page_count"))
    if page_count is None:
        page_count = _LAST_PAGE if answer.get("results") else 0
    return number + 1 if number < min(page_count, _LAST_PAGE) else None


def _candidates(results: list[Any], query: Query) -> tuple[Candidate, ...]:
    found: dict[str, Candidate] = {}
    for item in map(as_dict, results):
        url = clean(item.get("url"))
        if url:
            found.setdefault(clean(item.get("id")) or url, _candidate(url, item, query))
    return tuple(found.values())


def _candidate(url: str, item: Mapping[str, Any], query: Query) -> Candidate:
    title, creator = clean(item.get("title")), clean(item.get("creator"))
    page_url = clean(item.get("foreign_landing_url"))
    licence = parse_licence(
        clean(item.get("license")), clean(item.get("license_version")), clean(item.get("license_url"))
    )
    return Candidate(
        url=url,
        label=query.label,
        source=Openverse.name,
        keyword=query.keyword,
        page_url=page_url,
        title=title,
        creator=creator,
        creator_url=clean(item.get("creator_url")),
        licence=licence,
        attribution=clean(item.get("attribution")) or compose_attribution(title, creator, licence, page_url),
        metadata=without_nothing(
            {name: jsonable(item.get(name)) for name in _KEPT}
            | {
                "tags": [name for tag in as_list(item.get("tags")) if (name := clean(as_dict(tag).get("name")))],
                "file_size": integer(item.get("filesize")),
                "width": integer(item.get("width")),
                "height": integer(item.get("height")),
            }
        ),
    )


INFO = SourceInfo(
    name=Openverse.name,
    title="Openverse",
    needs="nothing",
    allows="about 20 requests a minute and 200 a day, of 20 pictures each; at most 240 pictures a keyword",
    terms="Free to use through its API within its rate limits; every picture keeps its own open licence.",
    page="https://docs.openverse.org/terms_of_service.html",
    open=lambda http, options: Openverse(http, INFO.url_in(options)),
    url=URL,
    filters=True,
)
