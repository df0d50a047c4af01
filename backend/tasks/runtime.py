"""What the tasks of one worker process share: database, store, HTTP clients and decoding threads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import cv2
from procrastinate import JobContext

from backend.config import Settings
from backend.db import Database
from backend.schemas.plans import CrawlPlan
from gleanset.crawl import Fetch, Gatherer
from gleanset.fetch import Fetcher, Response
from gleanset.inspect import InspectLimits
from gleanset.sources import Reader, Source, open_source
from gleanset.store import Store
from gleanset.threads import Threads
from gleanset.types import Candidate, Query


class Client:
    """How one kind of job reaches the network: its settings, HTTP client, and sources, which know their limits."""

    def __init__(self, settings: Settings, fetcher: Fetcher) -> None:
        self._settings = settings
        self.fetcher = fetcher
        self.max_bytes = settings.max_bytes
        self._sources: dict[str, Source] = {}

    def source(self, name: str) -> Source:
        """The source, one for all chunks: it knows how much its service lets us ask."""
        if name not in self._sources:
            self._sources[name] = open_source(name, self.fetcher, self._settings.sources)
        return self._sources[name]


class Runtime:
    """One a worker process."""

    def __init__(self, settings: Settings, database: Database, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.database = database
        self.store = Store(settings.store_place)
        self._threads = Threads(settings.threads)
        self._clients: dict[str, Client] = {}
        self._stack = stack
        stack.callback(self._threads.close)

    async def client(self, plan: CrawlPlan) -> Client:
        """The client for jobs of this kind: one for all but those that may go where others may not."""
        key = f"{plan.allow_private} {plan.overrides.model_dump_json()}"
        if key not in self._clients:
            settings = self.settings.model_copy(update=plan.overrides.model_dump(exclude_none=True))
            fetcher = Fetcher(settings.fetch_options(allow_private=plan.allow_private))
            self._clients[key] = Client(settings, fetcher)
            await self._stack.enter_async_context(fetcher)
        return self._clients[key]

    @asynccontextmanager
    async def gatherer(self, client: Client, query: Query) -> AsyncGenerator[Gatherer]:
        """What takes the candidates of a query the whole way, over HTTP or from where the source has them."""
        limits = InspectLimits(max_pixels=self.settings.max_pixels)
        source = client.source(query.source)
        async with AsyncExitStack() as stack:
            fetch = None
            if isinstance(source, Reader):
                fetch = _from(await stack.enter_async_context(source.reading(query, client.max_bytes)))
            yield Gatherer(client.fetcher, self.store, self._threads, limits, query.licences, fetch)


def _from(read: Callable[[Candidate], Awaitable[bytes]]) -> Fetch:
    async def fetch(candidate: Candidate) -> Response:
        return Response(candidate.url, 200, {}, await read(candidate))

    return fetch


@asynccontextmanager
async def open_runtime(settings: Settings, database: Database) -> AsyncGenerator[Runtime]:
    """Everything that is opened is closed at the end. Raises StoreError when the store cannot be opened."""
    cv2.setNumThreads(1)  # the decoding threads are the parallel part; OpenCV's own would only get into their way
    async with AsyncExitStack() as stack:
        yield Runtime(settings, database, stack)


def runtime_of(context: JobContext) -> Runtime:
    """The runtime that the worker was started with."""
    return cast("Runtime", context.additional_context["runtime"])
