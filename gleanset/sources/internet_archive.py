"""The Internet Archive: image items of its collections, searched by its scrape API, with the files of each item."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import options_of
from gleanset.sources.base import Http, SourceInfo
from gleanset.sources.licence import compose_attribution, parse_licence
from gleanset.sources.text import as_dict, as_list, clean, integer, plain, without_nothing
from gleanset.types import Candidate, Pace, Page, Query

URL = "https://archive.org"
_BATCH = 100  # items a search; the service gives no fewer
_ITEMS = 10  # items a page: each takes a request of its own, so pages are smaller than searches
_PER_ITEM = 10
_MAX_KEYWORD = 200
_CURSOR = re.compile(r"(?P<skip>\d{1,3})@(?P<place>.*)", re.DOTALL)
_SPECIAL = re.compile(r'[+\-&|!(){}\[\]^"~*?:\\/=]')
_OPERATORS = re.compile(r"\b(?:AND|OR|NOT|TO)\b")
_LICENCE_PATHS = {
    code: f"licenses/{code}/"
    for code in ("by", "by-nc", "by-nc-nd", "by-nc-sa", "by-nd", "by-sa", "sampling+", "nc-sampling+")
} | {"cc0": "publicdomain/zero/", "pdm": "publicdomain/mark/", "publicdomain": "licenses/publicdomain/"}
_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".avif")
_FORMATS = {"jpeg", "png", "gif", "animated gif", "webp", "tiff", "bmp", "avif"}
_FOR_DISPLAY = re.compile(r"thumb|\btile\b|item image", re.IGNORECASE)
_DISPLAY_NAME = re.compile(r"(?:_thumb|_itemimage)\.\w+$|(?:^|/)\.?thumbs?/", re.IGNORECASE)

Fields = Mapping[str, Any]


class InternetArchive:
    """Search of `archive.org`. A cursor is `SKIP@PLACE`: the service's own cursor, and the items behind it to skip."""

    name = "internet-archive"

    def __init__(self, http: Http, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, "The Internet Archive", wait)
        self._url = url.rstrip("/")

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        params, most = _params(query), _per_item(query)
        skip, place = (0, "") if cursor is None else _from_cursor(cursor)
        while True:
            names, following = await self._search(params, place)
            for begin in range(skip, max(len(names), skip + 1), _ITEMS):
                end = begin + _ITEMS
                found = await self._candidates(names[begin:end], most, query)
                if end < len(names):
                    yield Page(found, f"{end}@{place}")
                else:
                    yield Page(found, None if following is None else f"0@{following}")
            if following is None:
                return
            skip, place = 0, following

    async def _search(self, params: Mapping[str, str], place: str) -> tuple[list[str], str | None]:
        """The identifiers behind a place, and the place behind those (None at the end)."""
        going_on = {"cursor": place} if place else {}
        answer = await self._api.get(f"{self._url}/services/search/v1/scrape", {**params, **going_on})
        names = (clean(as_dict(item).get("identifier")) for item in as_list(answer.get("items")))
        following = clean(answer.get("cursor"))
        if following is not None and following == place:
            raise SourceError("The Internet Archive goes on at the same place for ever.", retryable=True)
        return list(dict.fromkeys(name for name in names if name)), following

    async def _candidates(self, names: list[str], most: int, query: Query) -> tuple[Candidate, ...]:
        items = await asyncio.gather(*map(self._item, names), return_exceptions=True)
        found: list[Candidate] = []
        for name, item in zip(names, items, strict=True):
            if isinstance(item, BaseException):
                raise item
            found += self._of_item(name, item, most, query)
        return tuple(found)

    async def _item(self, name: str) -> Fields:
        """What is known of an item: nothing when the service does not show it, which is no fault of the search."""
        try:
            return as_dict(await self._api.get_any(f"{self._url}/metadata/{quote(name, safe='')}"))
        except SourceError as error:
            if error.retryable:
                raise
            return {}

    def _of_item(self, name: str, item: Fields, most: int, query: Query) -> list[Candidate]:
        facts = as_dict(item.get("metadata"))
        if _flag(item.get("is_dark")) or _flag(facts.get("access-restricted-item")):
            return []
        files = [file for file in map(as_dict, as_list(item.get("files"))) if _is_picture(file)]
        page_url = f"{self._url}/details/{quote(name, safe='')}"
        title, creator = _first(facts.get("title")), ", ".join(_texts(facts.get("creator"))) or None
        licence = parse_licence(None, url=_first(facts.get("licenseurl")))
        return [
            Candidate(
                url=f"{self._url}/download/{quote(name, safe='')}/{quote(str(clean(file['name'])))}",
                label=query.label,
                source=InternetArchive.name,
                keyword=query.keyword,
                page_url=page_url,
                title=title,
                creator=creator,
                licence=licence,
                attribution=compose_attribution(title, creator, licence, page_url),
                metadata=_metadata(name, facts, file),
            )
            for file in files[:most]
        ]


def _params(query: Query) -> dict[str, str]:
    options_of(query, "The Internet Archive", ("per_item",))
    words = _escaped(clean(query.keyword) or "")
    if not re.search(r"\w", words):
        raise SourceError("The Internet Archive needs a keyword to search for.")
    clauses = ["mediatype:image", f"({words})", *_licence_clause(query.licences)]
    return {"q": " AND ".join(clauses), "fields": "identifier", "count": str(_BATCH)}


def _per_item(query: Query) -> int:
    most = integer(query.options.get("per_item", _PER_ITEM))
    if most is None or most < 1:
        raise SourceError("per_item is the most pictures to take of one item of the Internet Archive: 1 or more.")
    return most


def _escaped(text: str) -> str:
    """The text as words to search for, in which nothing is an operator of the query language."""
    words = _OPERATORS.sub(lambda word: word[0].lower(), re.sub(r"[<>]", " ", text[:_MAX_KEYWORD]))
    return " ".join(_SPECIAL.sub(lambda sign: f"\\{sign[0]}", words).split())


def _licence_clause(licences: frozenset[str] | None) -> list[str]:
    """A clause that keeps to the licences, when all of them can be told by the address of their text."""
    if not licences or not licences <= _LICENCE_PATHS.keys():
        return []
    paths = (_SPECIAL.sub(lambda sign: f"\\{sign[0]}", _LICENCE_PATHS[code]) for code in sorted(licences))
    return [f"licenseurl:({' OR '.join(f'*{path}*' for path in paths)})"]


def _from_cursor(cursor: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise SourceError(f"{cursor!r} is not a cursor of the Internet Archive: it is a number, @ and its own cursor.")
    return int(match["skip"]), match["place"]


def _is_picture(file: Fields) -> bool:
    """Whether the file was given to the archive as a picture: not one that it made, and not for display only."""
    name, kind = clean(file.get("name")), clean(file.get("format")) or ""
    if name is None or file.get("source", "original") != "original" or _flag(file.get("private")):
        return False
    if _FOR_DISPLAY.search(kind) or _DISPLAY_NAME.search(name):
        return False
    return name.lower().endswith(_EXTENSIONS) or kind.lower() in _FORMATS


def _metadata(name: str, facts: Fields, file: Fields) -> dict[str, Any]:
    return without_nothing(
        {
            "id": name,
            "provider": InternetArchive.name,
            "tags": _texts(facts.get("subject")),
            "collection": _texts(facts.get("collection")),
            "description": plain(_first(facts.get("description"))),
            "date": _first(facts.get("date")),
            "rights": plain(_first(facts.get("rights"))),
            "file": clean(file.get("name")),
            "format": clean(file.get("format")),
            "md5": clean(file.get("md5")),
            "sha1": clean(file.get("sha1")),
            "file_size": integer(file.get("size")),
        }
    )


def _texts(value: Any) -> list[str]:
    """The texts of a field, which the service writes as one text, or as a list when there are several."""
    return [text for item in (as_list(value) or [value]) if (text := clean(item))]


def _first(value: Any) -> str | None:
    return next(iter(_texts(value)), None)


def _flag(value: Any) -> bool:
    return value is True or clean(value) == "true"


INFO = SourceInfo(
    name=InternetArchive.name,
    title="Internet Archive",
    needs="nothing",
    allows="no fixed limit, asked 3 requests at once; as many items as a keyword finds, each with up to 10 pictures",
    terms="Its terms leave the rights to the uploaders: many items state no licence, and those that do keep their own.",
    page="https://archive.org/about/terms",
    open=lambda http, options: InternetArchive(http, INFO.url_in(options)),
    url=URL,
    pace=Pace(at_once=3),
    filters=True,
)
