"""Wikimedia Commons: the picture store behind Wikipedia, searched through the MediaWiki API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urljoin

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import only_keyword
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import compose_attribution, parse_licence
from gleanset.sources.text import as_dict, as_list, clean, first_link, integer, plain, without_nothing
from gleanset.types import Candidate, Pace, Page, Query

URL = "https://commons.wikimedia.org/w/api.php"
_DEPTH = 10_000  # the search engine refuses offsets past this
_MAX_KEYWORD = 250  # of the 300 characters a search may have
_MEDIA_TYPES = {"BITMAP", "DRAWING"}
_PASSING = ("ratelimited", "maxlag", "readonly", "internal_api_error", "cirrussearch-backend", "cirrussearch-too-busy")
_SEARCH = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "generator": "search",
    "gsrnamespace": "6",
    "gsrlimit": "50",
    "prop": "imageinfo",
    "iiprop": "url|size|mime|mediatype|sha1|user|timestamp|extmetadata",
}

Fields = Mapping[str, Any]


class Wikimedia:
    """Search of Commons. A cursor is the `continue` object behind a complete batch, as JSON."""

    name = "wikimedia"

    def __init__(self, http: Http, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, "Wikimedia Commons", wait)
        self._url = url

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        params = _params(query)
        going_on: dict[str, str] | None = {} if cursor is None else _from_cursor(cursor)
        while going_on is not None:
            batch, going_on = await self._batch(params, going_on)
            ranked = sorted(batch.values(), key=lambda page: integer(page.get("index")) or 0)
            found = tuple(candidate for page in ranked if (candidate := _candidate(page, query)))
            yield Page(found, None if going_on is None else json.dumps(going_on, sort_keys=True))

    async def _batch(
        self, params: dict[str, str], going_on: dict[str, str]
    ) -> tuple[dict[str, dict[str, Any]], dict[str, str] | None]:
        """One complete batch of pages by id, and where the search goes on behind it (None at the end).

        The service may hand a batch out in parts: each part repeats the pages with other properties filled in.
        """
        batch: dict[str, dict[str, Any]] = {}
        while True:
            answer = await self._api.get(self._url, params | going_on)
            _raise_for_error(answer)
            for page in map(as_dict, as_list(as_dict(answer.get("query")).get("pages"))):
                _merge(batch.setdefault(str(page.get("pageid", page.get("title"))), {}), page)
            following = {key: str(value) for key, value in as_dict(answer.get("continue")).items()}
            if not following or _too_deep(following):
                return batch, None
            if following == going_on:
                raise SourceError("Wikimedia Commons goes on at the same place for ever.", retryable=True)
            if answer.get("batchcomplete"):
                return batch, following
            going_on = following


def _params(query: Query) -> dict[str, str]:
    keyword = only_keyword(query, "Wikimedia Commons")
    return _SEARCH | {"gsrsearch": f"{keyword[:_MAX_KEYWORD]} filetype:bitmap"}


def _from_cursor(cursor: str) -> dict[str, str]:
    try:
        going_on = {key: str(value) for key, value in as_dict(json.loads(cursor)).items()}
    except (ValueError, RecursionError):
        going_on = {}
    if not going_on:
        raise SourceError(f"{cursor!r} is not a cursor of Wikimedia Commons: it is a `continue` object as JSON.")
    return going_on


def _too_deep(going_on: Mapping[str, str]) -> bool:
    return (integer(going_on.get("gsroffset")) or 0) >= _DEPTH


def _raise_for_error(answer: Fields) -> None:
    error = as_dict(answer.get("error"))
    if error:
        code, info = str(error.get("code")), plain(error.get("info")) or "no reason given"
        retryable = code.startswith(_PASSING)
        raise SourceError(f"Wikimedia Commons refuses the query ({code}): {info}", retryable=retryable)


def _merge(page: dict[str, Any], part: Fields) -> None:
    """Adds what a partial page knows; within imageinfo[0] too, since extmetadata may come in a later part."""
    info = {**_info(page), **_info(part)}
    page.update(part)
    if info:
        page["imageinfo"] = [info]


def _info(page: Fields) -> dict[str, Any]:
    infos = as_list(page.get("imageinfo"))
    return as_dict(infos[0]) if infos else {}


def _candidate(page: Fields, query: Query) -> Candidate | None:
    info = _info(page)
    url = clean(info.get("url"))
    if url is None or info.get("mediatype") not in _MEDIA_TYPES:
        return None
    extra = {key: as_dict(entry).get("value") for key, entry in as_dict(info.get("extmetadata")).items()}
    page_url = clean(info.get("descriptionurl"))
    title = plain(extra.get("ObjectName")) or _file_title(clean(page.get("title")))
    creator, link = plain(extra.get("Artist")), first_link(extra.get("Artist"))
    terms = plain(extra.get("LicenseShortName")) or plain(extra.get("UsageTerms"))
    licence = parse_licence(terms, url=plain(extra.get("LicenseUrl")))
    return Candidate(
        url=url,
        label=query.label,
        source=Wikimedia.name,
        keyword=query.keyword,
        page_url=page_url,
        title=title,
        creator=creator,
        creator_url=_absolute(link, page_url or url),
        licence=licence,
        attribution=plain(extra.get("Attribution")) or compose_attribution(title, creator, licence, page_url),
        metadata=_metadata(page, info, extra),
    )


def _metadata(page: Fields, info: Fields, extra: Fields) -> dict[str, Any]:
    categories = (plain(extra.get("Categories")) or "").split("|")
    required = (plain(extra.get("AttributionRequired")) or "").lower()
    return without_nothing(
        {
            "id": integer(page.get("pageid")),
            "provider": Wikimedia.name,
            "tags": [name for category in categories if (name := category.strip())],
            "description": plain(extra.get("ImageDescription")),
            "credit": plain(extra.get("Credit")),
            "usage_terms": plain(extra.get("UsageTerms")),
            "attribution_required": {"true": True, "false": False}.get(required),
            "date_taken": plain(extra.get("DateTimeOriginal")),
            "uploader": clean(info.get("user")),
            "uploaded": clean(info.get("timestamp")),
            "mime": clean(info.get("mime")),
            "mediatype": clean(info.get("mediatype")),
            "sha1": clean(info.get("sha1")),
            "file_size": integer(info.get("size")),
            "width": integer(info.get("width")),
            "height": integer(info.get("height")),
        }
    )


def _absolute(link: str | None, base: str) -> str | None:
    """The link as an absolute URL; Commons writes `//host/...` and `/wiki/...`."""
    try:
        return urljoin(base, link) if link else None
    except ValueError:
        return None


def _file_title(title: str | None) -> str | None:
    """`File:A cat.jpg` without namespace and extension."""
    name = title.partition(":")[2] or title if title else ""
    return clean(name.rpartition(".")[0] or name)


INFO = SourceInfo(
    name=Wikimedia.name,
    title="Wikimedia Commons",
    needs="a contact in the User-Agent, set as GLEANSET_CONTACT",
    allows="3 requests at once, of 50 pictures each; at most 10,000 pictures a keyword; 25 Mbit/s of pictures",
    terms="Free to use with an honest User-Agent and few requests at once; every picture keeps its own free licence.",
    page="https://commons.wikimedia.org/wiki/Commons:Reusing_content_outside_Wikimedia",
    open=lambda http, options: Wikimedia(http, INFO.url_in(options)),
    url=URL,
    pace=Pace(at_once=3),
    media={"upload.wikimedia.org": Pace(at_once=2, rate=25e6 / 8)},
    contact=True,
)
