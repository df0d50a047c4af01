"""Openverse: openly licensed pictures of many collections behind one search, keyless or with a key that allows more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import keyword_of, options_of
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import compose_attribution, parse_licence, wants_any
from gleanset.sources.oauth import Account
from gleanset.sources.text import as_dict, as_list, clean, integer, jsonable, without_nothing
from gleanset.types import Candidate, Pace, Page, Query

URL = "https://api.openverse.org/v1/"
_ANONYMOUS_SIZES = (20, 10)  # 20 is the most an anonymous request may ask for; more is answered with 401
_ACCOUNT_SIZES = (50, 20, 10)
_STEP = 10  # divides every size, so that any of them leads to a place where some size may go on
_DEPTH = 240  # results a query, for everybody
_MAX_KEYWORD = 200
_SEARCHES = ("creator", "tags", "title")
_FILTERS = (
    *("source", "excluded_source", "license", "license_type", *_SEARCHES, "extension", "category"),
    *("aspect_ratio", "size", "filter_dead", "mature"),
)
_LICENCES = {"by", "by-nc", "by-nc-nd", "by-nc-sa", "by-nd", "by-sa", "cc0", "pdm", "sampling+", "nc-sampling+"}
_KEPT = ("id", "provider", "source", "category", "filetype", "mature", "indexed_on", "thumbnail", "detail_url")


class Openverse:
    """Search of `api.openverse.org`. A cursor is the number of results before the next page.

    `key` is a `client_id:client_secret`. It allows larger pages, and a job may go on with or without it.
    """

    name = "openverse"

    def __init__(self, http: Http, url: str = URL, wait: Wait = asyncio.sleep, *, key: str | None = None) -> None:
        root = url.rstrip("/")
        self._api = Api(http, "Openverse", wait, key=key)
        self._search = f"{root}/images/"
        self._account = Account(http, "Openverse", f"{root}/auth_tokens/token/", key, wait) if key else None
        self._sizes = _ACCOUNT_SIZES if key else _ANONYMOUS_SIZES

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        params = _params(query)
        offset: int | None = _first_offset(cursor)
        if not wants_any(query, _LICENCES):
            yield Page((), None)
            return
        while offset is not None:
            size = _page_size(offset, self._sizes)
            answer = await self._ask({**params, "page_size": str(size), "page": str(offset // size + 1)})
            found = _candidates(as_list(answer.get("results")), query)
            offset = _next_offset(offset, size, answer)
            yield Page(found, None if offset is None else str(offset))

    async def _ask(self, params: Mapping[str, str]) -> dict[str, Any]:
        if self._account is None:
            return await self._api.get(self._search, params)
        return self._api.object_in(await self._account.answer(self._api, self._search, params))


def _params(query: Query) -> dict[str, str]:
    params = options_of(query, "Openverse", _FILTERS)
    if "source" in params and "excluded_source" in params:
        raise SourceError("Openverse takes either source or excluded_source, not both.")
    if query.licences and "license" not in params:
        params["license"] = ",".join(sorted(query.licences & _LICENCES))
    if clean(query.keyword) or not any(params.get(name) for name in _SEARCHES):
        params["q"] = keyword_of(query, "Openverse")[:_MAX_KEYWORD]
    return params


def _first_offset(cursor: str | None) -> int:
    offset = 0 if cursor is None else integer(cursor)
    if offset is None or offset not in range(0, _DEPTH, _STEP):
        raise SourceError(f"{cursor!r} is not a cursor of Openverse: it is a multiple of {_STEP} below {_DEPTH}.")
    return offset


def _page_size(offset: int, sizes: tuple[int, ...]) -> int:
    """The largest page that begins at the offset and ends within the depth."""
    return next(size for size in sizes if offset % size == 0 and offset + size <= _DEPTH)


def _next_offset(offset: int, size: int, answer: Mapping[str, Any]) -> int | None:
    """Where the next page begins. A short page is not the last one: dead links are filtered out of full pages."""
    end = offset + size
    count, page_count = integer(answer.get("result_count")), integer(answer.get("page_count"))
    known = max(count or 0, (page_count or 0) * size)
    if count is None and page_count is None and answer.get("results"):
        known = _DEPTH
    return end if end < min(known, _DEPTH) else None


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
    needs="nothing; a key, as `client_id:client_secret`, allows more",
    allows="20 requests a minute and 200 a day, of 20 pictures each; with a key 100 a minute and 10,000 a day, of 50 "
    "pictures each; at most 240 pictures a keyword",
    terms="Free to use through its API within its rate limits; every picture keeps its own open licence.",
    page="https://docs.openverse.org/terms_of_service.html",
    open=lambda http, options: Openverse(
        http, INFO.url_in(options), key=INFO.key_in(options) if INFO.has_key(options) else None
    ),
    url=URL,
    pace=Pace(at_once=1),
    filters=True,
)
