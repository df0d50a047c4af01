"""A website as a source: its pages read breadth first from a start page or a sitemap, within bounds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urljoin, urlsplit

from gleanset.errors import FetchFailed, OutcomeError, SourceError
from gleanset.fetch.optout import directives
from gleanset.sources import html, sitemap
from gleanset.sources.base import Http, Response, SourceInfo
from gleanset.sources.frontier import Frontier, Visit, site_of
from gleanset.sources.licence import compose_attribution
from gleanset.sources.pictures import Picture, absolute
from gleanset.sources.text import integer, without_nothing
from gleanset.types import Candidate, Page, Query, Reason

MOST_DEPTH = 10
MOST_PAGES = 10_000
_PAGE_BYTES = 8 * 1024 * 1024
_SITEMAP_BYTES = 16 * 1024 * 1024
_ROBOTS_BYTES = 512 * 1024
_SLICE = 200  # candidates that arrive together
_OPTIONS = ("depth", "max_pages", "sitemaps")
_PAGES = {"text/html", "application/xhtml+xml"}
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_NO_PAGE = re.compile(
    r"\.(?:jpe?g|png|gif|webp|avif|bmp|tiff?|svgz?|ico|pdf|zip|gz|tgz|bz2|xz|7z|rar|tar|exe|dmg|iso|mp[34]|m4[av]|mov|avi"
    r"|mkv|webm|og[gv]|wav|flac|css|js|json|xml|rss|atom|woff2?|ttf|docx?|xlsx?|pptx?|csv)$",
    re.IGNORECASE,
)

Found = tuple[str, str | None, Picture]
"""A picture behind the URL and the title of its page."""


def plan(url: str, *, depth: int = 1, max_pages: int = 100, sitemaps: bool = False, label: str | None = None) -> Query:
    """The query of one start. Its label is the host, without `www.`, when none is given. Raises SourceError."""
    start = _start_url(url)
    options = {"depth": depth, "max_pages": max_pages, "sitemaps": sitemaps}
    query = Query(source=Website.name, label=label or site_of(start), keyword=start, options=options)
    _Options.of(query)
    return query


@dataclass(frozen=True, slots=True)
class _Options:
    depth: int
    max_pages: int
    sitemaps: bool

    @classmethod
    def of(cls, query: Query) -> Self:
        unknown = sorted(set(query.options) - set(_OPTIONS))
        if unknown:
            raise SourceError(f"A website has no option {', '.join(unknown)}. Its options are: {', '.join(_OPTIONS)}.")
        depth, pages = integer(query.options.get("depth", 1)), integer(query.options.get("max_pages", 100))
        if depth is None or not 0 <= depth <= MOST_DEPTH:
            raise SourceError(f"The option depth of a website is a number of links from 0 to {MOST_DEPTH}.")
        if pages is None or not 1 <= pages <= MOST_PAGES:
            raise SourceError(f"The option max_pages of a website is a number from 1 to {MOST_PAGES}.")
        return cls(depth, pages, query.options.get("sitemaps") is True)


class Website:
    """Reads pages of one site for the pictures they show, which may lie anywhere.

    A cursor is how many pictures of the next page have been given already, a dot, and the packed frontier before that
    page: the URLs that wait, never more than `max_pages`, and eight bytes for each page that was read.
    """

    name = "website"

    def __init__(self, http: Http) -> None:
        self._http = http

    async def pages(self, query: Query, cursor: str | None) -> AsyncIterator[Page]:
        options = _Options.of(query)
        given, frontier = _resumed(query, options, cursor)
        walk = _Walk(self._http, options, frontier)
        while True:
            before, visit = frontier.packed(), frontier.next()
            if visit is None:
                return
            found = await walk.read(visit)
            if frontier.passed_over and not (frontier.gave or frontier.pages or frontier.sitemaps):
                raise _nothing(query, frontier)
            after = f"0.{frontier.packed()}" if frontier.pages or frontier.sitemaps else None
            for start in range(given, max(len(found), given + 1), _SLICE):
                end = start + _SLICE
                candidates = tuple(_candidate(query, *item) for item in found[start:end])
                yield Page(candidates, f"{end}.{before}" if end < len(found) else after)
            given = 0


class _Walk:
    """Reads one page or sitemap after the other, and lets what they lead to into the frontier."""

    def __init__(self, http: Http, options: _Options, frontier: Frontier) -> None:
        self._http = http
        self._options = options
        self._frontier = frontier

    async def read(self, visit: Visit) -> list[Found]:
        """The pictures of one page or sitemap. Raises SourceError when it is the start and cannot be read."""
        frontier = self._frontier
        if frontier.site is None:
            return await self._start(visit)
        try:
            response = await self._answer(visit)
        except OutcomeError as error:
            frontier.pass_over(error.reason)
            return []
        if response.status != 200:
            frontier.pass_over(f"status {response.status}")
            return []
        url = absolute(visit.url, response.url) or visit.url
        if url != visit.url and not frontier.meets(url):
            return []
        if visit.is_sitemap:
            return await self._read_sitemap(visit, url, response.body)
        return await self._read_page(visit, url, response) if _is_page(response) and self._is_ours(url) else []

    async def _start(self, visit: Visit) -> list[Found]:
        try:
            response = await self._answer(visit)
        except OutcomeError as error:
            hint = " For a server of your own, say --allow-private." if error.reason is Reason.PRIVATE_ADDRESS else ""
            message = f"The start page {visit.url} cannot be had: {error.told}{hint}"
            raise SourceError(message, retryable=isinstance(error, FetchFailed)) from error
        if response.status != 200:
            message = f"The start page {visit.url} answered with status {response.status}."
            retryable = response.status == 429 or response.status >= 500
            raise SourceError(
                f"{message} {'Try again later' if retryable else 'Check its address'}.", retryable=retryable
            )
        url = absolute(visit.url, response.url) or visit.url
        self._frontier.site = site_of(url)
        self._frontier.meets(url)
        if sitemap.is_sitemap(response.body):
            return await self._read_sitemap(visit, url, response.body)
        if not _is_page(response):
            raise SourceError(f"{visit.url} is neither a web page nor a sitemap. Start with the address of one.")
        if self._options.sitemaps:
            await self._find_sitemaps(url)
        return await self._read_page(visit, url, response)

    async def _answer(self, visit: Visit) -> Response:
        is_page = not visit.is_sitemap and self._frontier.site is not None
        return await self._http.visit(visit.url, max_bytes=_PAGE_BYTES if is_page else _SITEMAP_BYTES)

    async def _read_page(self, visit: Visit, url: str, response: Response) -> list[Found]:
        charset = _CHARSET.search(response.headers.get("Content-Type", ""))
        page = await asyncio.to_thread(html.extract, response.body, url, charset[1] if charset else None)
        if _may_follow(response):
            self._let_in(page.links, visit.depth + 1)
        if page.refused:
            self._frontier.pass_over(f"meta tag {page.refused}")
        else:
            self._frontier.gave = True
        return [(url, page.title, picture) for picture in page.pictures]

    async def _read_sitemap(self, visit: Visit, url: str, body: bytes) -> list[Found]:
        listed = await asyncio.to_thread(sitemap.parse, body, url)
        for nested in listed.sitemaps:
            if self._is_ours(nested) or site_of(nested) == site_of(url):
                self._frontier.let_in_sitemap(nested, visit.depth + 1)
        self._let_in(listed.pages, 1)
        found: list[Found] = [(page, None, picture) for page, picture in listed.pictures if self._is_ours(page)]
        self._frontier.gave = self._frontier.gave or bool(found)
        return found

    async def _find_sitemaps(self, url: str) -> None:
        """Those that the robots.txt of the site names, and the usual place."""
        try:
            response = await self._http.request(urljoin(url, "/robots.txt"), max_bytes=_ROBOTS_BYTES)
            named = sitemap.listed_in(response.body) if response.status == 200 else []
        except OutcomeError:
            named = []
        for link in (*named, "/sitemap.xml"):
            found = absolute(url, link)
            if found:
                self._frontier.let_in_sitemap(found, 0)

    def _let_in(self, links: Sequence[str], depth: int) -> None:
        if depth > self._options.depth:
            return
        for link in links:
            if self._is_ours(link) and not _NO_PAGE.search(urlsplit(link).path):
                self._frontier.let_in(link, depth)

    def _is_ours(self, url: str) -> bool:
        return site_of(url) == self._frontier.site


def _resumed(query: Query, options: _Options, cursor: str | None) -> tuple[int, Frontier]:
    start = _start_url(query.keyword)
    if cursor is None:
        frontier = Frontier(options.max_pages)
        frontier.let_in(start, 0)
        return 0, frontier
    given, _, packed = cursor.partition(".")
    try:
        return max(int(given), 0), Frontier.unpacked(packed, options.max_pages)
    except ValueError:
        raise SourceError(f"{cursor[:80]!r} is not a cursor of a website.") from None


def _nothing(query: Query, frontier: Frontier) -> SourceError:
    """Of a walk that ends without a page: a person has to know that there are some, and why none was had."""
    why = ", ".join(f"{reason} ({number})" for reason, number in sorted(frontier.passed_over.items()))
    return SourceError(f"No page of {query.keyword} could be had, or let us have its pictures: {why}.")


def _start_url(given: str | None) -> str:
    url = absolute("", given)
    if url is None:
        raise SourceError(f"A website needs the http or https address of a page or a sitemap, not {given!r}.")
    return url


def _may_follow(response: Response) -> bool:
    said = (value for name, value in response.headers.items() if name.lower() == "x-robots-tag")
    return html.NO_LINKS.isdisjoint(directives(said))


def _is_page(response: Response) -> bool:
    """Whether the answer is HTML: it says so, or it says nothing and looks like it."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in _PAGES if kind else response.body[:512].lstrip().startswith(b"<")


def _candidate(query: Query, page_url: str, page_title: str | None, picture: Picture) -> Candidate:
    title = picture.title or picture.alt
    attribution = picture.attribution or compose_attribution(title, picture.creator, picture.licence, page_url)
    return Candidate(
        url=picture.url,
        label=query.label,
        source=Website.name,
        keyword=query.keyword,
        page_url=page_url,
        title=title,
        creator=picture.creator,
        creator_url=picture.creator_url,
        licence=picture.licence,
        attribution=attribution,
        metadata=without_nothing(
            {
                "found": picture.found,
                "page_title": page_title,
                "alt": picture.alt,
                "caption": picture.caption,
                "width": picture.width,
                "height": picture.height,
                **picture.extra,
            }
        ),
    )


INFO = SourceInfo(
    name=Website.name,
    title="Website",
    needs="the address of a page or a sitemap",
    allows="the pages of one site, breadth first, at its own pace and as far as its robots.txt lets us",
    terms="Pages that opt out of being collected are passed over; every picture has the licence that its page states.",
    page=None,
    open=lambda http, _options: Website(http),
    searched=False,
)
