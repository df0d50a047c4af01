"""What the tasks of one worker process share: database, store, HTTP clients and decoding threads."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import cv2
from procrastinate import JobContext

from backend.config import Settings
from backend.db import Database
from gleanset.crawl import Gatherer
from gleanset.fetch import Fetcher
from gleanset.inspect import InspectLimits
from gleanset.sources import Source, open_source
from gleanset.store import Store
from gleanset.threads import Threads


class Runtime:
    """One a worker process. Jobs that may reach private addresses get a client of their own."""

    def __init__(self, settings: Settings, database: Database, store: Store, fetchers: dict[bool, Fetcher]) -> None:
        self.settings = settings
        self.database = database
        self.store = store
        self.threads = Threads(settings.threads)
        self._fetchers = fetchers
        self._sources: dict[tuple[str, bool], Source] = {}

    def source(self, name: str, *, allow_private: bool) -> Source:
        """The source, one for all chunks: it knows how much its service lets us ask."""
        key = (name, allow_private)
        if key not in self._sources:
            self._sources[key] = open_source(name, self._fetchers[allow_private], self.settings.sources)
        return self._sources[key]

    def gatherer(self, *, allow_private: bool) -> Gatherer:
        limits = InspectLimits(max_pixels=self.settings.max_pixels)
        return Gatherer(self._fetchers[allow_private], self.store, self.threads, limits)


@asynccontextmanager
async def open_runtime(settings: Settings, database: Database) -> AsyncGenerator[Runtime]:
    """Everything opened, and closed again at the end. Raises StoreError when the store cannot be opened."""
    store = Store(settings.store_place)
    cv2.setNumThreads(1)  # the decoding threads are the parallel part; OpenCV's own would only get into their way
    async with AsyncExitStack() as stack:
        fetchers = {
            private: await stack.enter_async_context(Fetcher(settings.fetch_options(allow_private=private)))
            for private in (False, True)
        }
        runtime = Runtime(settings, database, store, fetchers)
        stack.callback(runtime.threads.close)
        yield runtime


def runtime_of(context: JobContext) -> Runtime:
    """The runtime that the worker was started with."""
    return cast("Runtime", context.additional_context["runtime"])
