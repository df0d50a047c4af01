"""The first pages of what a crawl would ask for, while a person waits: nothing is fetched but what sources tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, zip_longest
from typing import cast

import structlog

from backend.config import Settings
from backend.db import Database
from backend.schemas.crawl_jobs import Keywords
from backend.schemas.plans import CrawlPlan, UrlList, Website
from backend.schemas.previews import PreviewItem, PreviewResponse
from backend.services.crawl_jobs import searches
from backend.tasks.client import Client, SharedBook
from gleanset.errors import GleansetError, SourceError
from gleanset.fetch import Fetcher
from gleanset.sources import urls, website
from gleanset.sources.licence import check_licence
from gleanset.sources.list_file import ListFile
from gleanset.store import Store
from gleanset.types import Candidate, Page, Query

SECONDS = 10.0
_MOST_QUERIES = 12  # that are asked for one look, of however many a job has
_MOST_PAGES = 3  # of a source that begins with pages on which there is nothing to see
_AT_ONCE = 4  # looks, in one process

log = structlog.get_logger(__name__)


class Preview:
    """Asks the sources as politely as a worker, with the same book of hosts."""

    def __init__(self, client: Client, settings: Settings, seconds: float) -> None:
        self._client = client
        self._settings = settings
        self._seconds = seconds
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, keywords: Keywords, plan: CrawlPlan, limit: int) -> PreviewResponse:
        """What the first queries offer, in turns, at most `limit`; a source that fails has a problem instead.

        Raises BadInput, UnknownSource or SourceError for what could not be planned at all.
        """
        found = _spread(searches(keywords, plan, self._settings.sources))
        asked = [
            *((given.url, partial(self._visit, given, plan, limit)) for given in plan.websites),
            *((given.path, partial(self._read_list, given, plan, limit)) for given in plan.lists),
            *((query.source, partial(self._look, query, plan, limit)) for query in found),
        ]
        looks = [asyncio.create_task(look(), name=name) for name, look in asked[:_MOST_QUERIES]]
        if looks:
            _, late = await asyncio.wait(looks, timeout=self._seconds)
            for look in late:
                look.cancel()
            await asyncio.wait(looks)
        return self._answer(looks, limit)

    def _answer(self, looks: Sequence[asyncio.Task[list[Candidate]]], limit: int) -> PreviewResponse:
        problems: dict[str, str] = {}
        offered: list[list[Candidate]] = []
        for look in looks:
            error = None if look.cancelled() else look.exception()
            if look.cancelled():
                problems.setdefault(look.get_name(), f"No answer within {self._seconds:.0f} seconds.")
            elif isinstance(error, GleansetError):
                problems.setdefault(look.get_name(), str(error))
            elif error is not None:
                log.error("preview failed", source=look.get_name(), exc_info=error)
                problems.setdefault(look.get_name(), "The source could not be asked; the log tells why.")
            else:
                offered.append(look.result())
        in_turns = (candidate for candidate in chain.from_iterable(zip_longest(*offered)) if candidate is not None)
        items = {candidate.url: _item(candidate) for candidate in in_turns}
        return PreviewResponse(items=list(items.values())[:limit], problems=problems)

    async def _look(self, query: Query, plan: CrawlPlan, limit: int) -> list[Candidate]:
        licences = None if plan.licences is None else frozenset(plan.licences)
        query = replace(query, licences=licences)
        found: list[Candidate] = []
        async with self._places:
            source = self._client.source(query.source)
            pages = cast("AsyncGenerator[Page]", source.pages(query, None))
            async with aclosing(pages):
                read = 0
                async for page in pages:
                    found += [candidate for candidate in page.candidates if _wanted(candidate, licences)]
                    read += 1
                    if found or read == _MOST_PAGES:
                        break
        return found[:limit]

    async def _read_list(self, given: UrlList, plan: CrawlPlan, limit: int) -> list[Candidate]:
        if given.key is None and "://" in given.path:
            raise SourceError("A list at an address is fetched when the job is started, and not for a first look.")
        file = ListFile(given.path, given.key, Store(self._settings.store_place))
        columns = {"url_column": given.url_column, "label_column": given.label_column, "label": given.label}
        return await self._look(await asyncio.to_thread(urls.first_rows, file, limit, **columns), plan, limit)

    async def _visit(self, given: Website, plan: CrawlPlan, limit: int) -> list[Candidate]:
        return await self._look(website.plan(given.url, depth=0, max_pages=1, label=given.label), plan, limit)


def _spread(queries: Sequence[Query]) -> list[Query]:
    """In turns: the first of each label and source, then the second ..."""
    groups: dict[tuple[str, str], list[Query]] = {}
    for query in queries:
        groups.setdefault((query.label, query.source), []).append(query)
    return [query for query in chain.from_iterable(zip_longest(*groups.values())) if query is not None]


def _wanted(candidate: Candidate, licences: frozenset[str] | None) -> bool:
    try:
        check_licence(candidate, licences)
    except GleansetError:
        return False
    return True


def _item(candidate: Candidate) -> PreviewItem:
    licence = candidate.licence
    return PreviewItem(
        url=candidate.url,
        title=candidate.title,
        creator=candidate.creator,
        licence=f"{licence.code} {licence.version or ''}".strip() if licence else None,
        source=candidate.source,
        label=candidate.label,
        page_url=candidate.page_url,
    )


@asynccontextmanager
async def open_preview(
    settings: Settings,
    database: Database,
    *,
    seconds: float = SECONDS,
    allow_private: bool = False,
    own_hosts: Sequence[str] = (),
) -> AsyncGenerator[Preview]:
    """For as long as the web process runs, or a command that looks once."""
    options = settings.fetch_options(allow_private=allow_private, own_hosts=own_hosts)
    async with Fetcher(options, SharedBook(database)) as fetcher:
        yield Preview(Client(settings, fetcher), settings, seconds)
