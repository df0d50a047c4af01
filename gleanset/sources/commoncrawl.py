"""Common Crawl: the pictures of a web site that its monthly crawls came across, by the index of each crawl."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import yarl

from gleanset.errors import SourceError
from gleanset.sources.api import Api, Wait
from gleanset.sources.asking import options_of
from gleanset.sources.base import Http, Response, SourceInfo
from gleanset.sources.cdx import Capture, Memory, pictures
from gleanset.sources.licence import UNKNOWN, wants_any
from gleanset.sources.text import as_dict, as_list, clean, integer, without_nothing
from gleanset.sources.throttle import Throttle
from gleanset.types import Candidate, Pace, Page, Query

URL = "https://index.commoncrawl.org"
_THROTTLE = Throttle((429, *range(500, 600)), (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0))
_FILTERS = (("filter", "=status:200"), ("filter", "~mime:image/.*"))
_REMEMBERED = 8  # sites whose captures are remembered for retries
_CURSOR = re.compile(r"(?P<crawl>[\w.-]+)/(?P<page>\d{1,9})")


class CommonCrawl:
    """Captures of the pictures below a domain or URL prefix. A cursor is `CRAWL/PAGE`, the next page of that crawl."""

    name = "commoncrawl"

    def __init__(self, http: Http, url: str = URL, wait: Wait = asyncio.sleep) -> None:
        self._api = Api(http, "Common Crawl", wait, throttle=_THROTTLE)
        self._url = url.rstrip("/")
        self._crawls: dict[str, str] = {}
        self._memory: OrderedDict[tuple[str, str], Memory] = OrderedDict()

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        site, wanted = _site(query), _crawl(query)
        crawl, first = (wanted, 0) if cursor is None else _from_cursor(cursor)
        if not wants_any(query, {UNKNOWN}):
            yield Page((), None)  # an index of the web knows no licences
            return
        crawl, index = await self._index(crawl)
        count = await self._page_count(index, site)
        if first and first >= count:
            raise SourceError(f"{cursor!r} is not a cursor of Common Crawl: {site} has {count} pages in that crawl.")
        memory = self._memory_of(crawl, site)
        for number in range(min(memory.pages, first), first):
            memory.fresh(number, await self._captures(index, site, number))
        for number in range(first, max(count, 1)):
            captures = memory.fresh(number, await self._captures(index, site, number)) if count else []
            found = tuple(_candidate(capture, crawl, query) for capture in captures)
            yield Page(found, f"{crawl}/{number + 1}" if number + 1 < count else None)

    async def _index(self, crawl: str | None) -> tuple[str, str]:
        """The name of a crawl (the newest unless one is named) and the address of its index."""
        if not self._crawls:
            listed = [as_dict(item) for item in as_list(await self._api.get_any(f"{self._url}/collinfo.json"))]
            pairs = ((clean(item.get("id")), clean(item.get("cdx-api"))) for item in listed)
            self._crawls = {name: index for name, index in pairs if name and index}
        if not self._crawls:
            raise SourceError("Common Crawl lists no crawl. Try again later.", retryable=True)
        newest = next(iter(self._crawls))
        index = self._crawls.get(crawl or newest)
        if index is None:
            raise SourceError(f"Common Crawl has no crawl {crawl}. Its newest is {newest}.")
        return crawl or newest, index

    async def _page_count(self, index: str, site: str) -> int:
        response = await self._ask(index, ("url", site), ("output", "json"), ("showNumPages", "true"))
        if response.status == 404:
            return 0
        count = integer(self._api.object_in(response).get("pages"))
        if count is None or count < 0:
            raise SourceError("Common Crawl does not say how many pages there are. Try again later.", retryable=True)
        return count

    async def _captures(self, index: str, site: str, number: int) -> list[Capture]:
        parts = (("url", site), ("output", "json"), *_FILTERS, ("page", str(number)))
        response = await self._ask(index, *parts)
        if response.status == 404:  # no capture of this page passes the filters
            return []
        return pictures(self._api.body_in(response))

    async def _ask(self, index: str, *parts: tuple[str, str]) -> Response:
        return await self._api.answer(f"{index}?{urlencode(parts)}")  # in the URL, since filters repeat

    def _memory_of(self, crawl: str, site: str) -> Memory:
        memory = self._memory.setdefault((crawl, site), Memory())
        self._memory.move_to_end((crawl, site))
        while len(self._memory) > _REMEMBERED:
            self._memory.popitem(last=False)
        return memory


def _site(query: Query) -> str:
    """The query's keyword as the index takes it: `example.com/*`, `example.com/photos/*` or `*.example.com`."""
    keyword = (clean(query.keyword) or "").removesuffix("*")
    text = re.sub(r"^https?://", "", keyword, flags=re.IGNORECASE)
    below = text.startswith("*.")
    authority, slash, path = text.removeprefix("*.").partition("/")
    host = _host(authority)
    if host is None or re.search(r"\s", path) or (below and path):
        message = (
            f"Common Crawl needs a domain or the beginning of a URL, such as example.com/photos/, not {keyword!r}."
        )
        raise SourceError(message)
    return f"*.{host}" if below else f"{host}{slash or '/'}{path}*"


def _host(authority: str) -> str | None:
    """The host, and port, of an authority, in ASCII; None when it is none or has no dot."""
    if re.search(r"[\s?#@\\]", authority):
        return None
    try:
        address = yarl.URL(f"http://{authority}")
        host, port = address.raw_host, address.explicit_port
    except ValueError:
        return None
    if host is None or not re.fullmatch(r"[\w-]+(?:\.[\w-]+)+", host, re.ASCII):
        return None
    return host if port is None else f"{host}:{port}"


def _crawl(query: Query) -> str | None:
    return clean(options_of(query, "Common Crawl", ("crawl",)).get("crawl"))


def _from_cursor(cursor: str) -> tuple[str, int]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise SourceError(f"{cursor!r} is not a cursor of Common Crawl: it is a crawl, a slash and a page number.")
    return match["crawl"], int(match["page"])


def _candidate(capture: Capture, crawl: str, query: Query) -> Candidate:
    return Candidate(
        url=str(clean(capture.get("url"))),
        label=query.label,
        source=CommonCrawl.name,
        keyword=query.keyword,
        metadata=without_nothing(
            {
                "provider": CommonCrawl.name,
                "crawl": crawl,
                "timestamp": clean(capture.get("timestamp")),
                "digest": clean(capture.get("digest")),
                "mime": clean(capture.get("mime")),
                "mime_detected": clean(capture.get("mime-detected")),
                "warc_filename": clean(capture.get("filename")),
                "warc_offset": integer(capture.get("offset")),
                "warc_length": integer(capture.get("length")),
            }
        ),
    )


INFO = SourceInfo(
    name=CommonCrawl.name,
    title="Common Crawl",
    needs="a domain or the beginning of a URL as keyword, such as `example.com` or `example.com/photos/`",
    allows="1 request a second, one at a time; all pictures that one crawl came across, which are few of a site's",
    terms="It is an index, and states no licence: the rights to the pictures are whatever their sites say.",
    page="https://commoncrawl.org/terms-of-use",
    open=lambda http, options: CommonCrawl(http, INFO.url_in(options)),
    url=URL,
    pace=Pace(at_once=1, interval=1.0),
)
