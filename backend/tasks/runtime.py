"""What the tasks of one worker process share: database, store, HTTP clients and decoders."""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import cast

import cv2
from procrastinate import JobContext

from backend.config import Settings
from backend.db import Database
from backend.schemas.plans import CrawlPlan
from backend.services import hosts
from backend.tasks.client import Client, SharedBook
from backend.tasks.ledger import Ledger
from gleanset.decoders import Decoders
from gleanset.fetch import Fetcher, Response
from gleanset.gather import Fetch, Gatherer, GatherOptions
from gleanset.inspect import InspectLimits
from gleanset.sources import Reader, Source
from gleanset.store import Store
from gleanset.types import Candidate, Query

_FILES = 32_768
"""Files and connections that a worker may have open at once: it keeps some to each host that it has just asked."""


class Runtime:
    """One a worker process. `stopping`: it is about to end; who can, records what it has and begins nothing new."""

    def __init__(self, settings: Settings, database: Database, ledger: Ledger, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.database = database
        self.ledger = ledger
        self.store = Store(settings.store_place)
        self.stopping = asyncio.Event()
        self.decoders = Decoders(settings.decoders)
        self._clients: dict[str, Client] = {}
        self._stack = stack
        stack.callback(self.decoders.close)

    async def client(self, plan: CrawlPlan) -> Client:
        """The client for jobs of this kind: one for all but those that may go where others may not."""
        key = plan.model_dump_json(include={"allow_private", "own_hosts", "overrides"})
        if key not in self._clients:
            settings = self.settings.model_copy(update=plan.overrides.model_dump(exclude_none=True))
            options = settings.fetch_options(allow_private=plan.allow_private, own_hosts=plan.own_hosts)
            fetcher = Fetcher(options, SharedBook(self.database))
            self._clients[key] = Client(settings, fetcher)
            await self._stack.enter_async_context(fetcher)
        return self._clients[key]

    async def hash_of(self, key: str) -> str | None:
        """SHA-256 of a stored file as it is now, read by a thread; None when it is gone."""
        return await asyncio.to_thread(self.store.sha256, key)

    def give_back_when_stopping(self) -> None:
        """Raises CancelledError when the worker stops, as if the task had been interrupted: the queue runs it again."""
        if self.stopping.is_set():
            raise asyncio.CancelledError

    @asynccontextmanager
    async def gatherer(self, client: Client, source: Source, plan: CrawlPlan, query: Query) -> AsyncGenerator[Gatherer]:
        """What takes the candidates of a query the whole way, over HTTP or from where the source has them."""
        limits = InspectLimits(max_pixels=self.settings.max_pixels)
        self.decoders.start()  # while the first pictures are fetched
        options = GatherOptions(licences=plan.licences, resize=plan.resize, keep_original=plan.keep_original)
        async with AsyncExitStack() as stack:
            fetch = None
            if isinstance(source, Reader):
                fetch = _from(await stack.enter_async_context(source.reading(query, client.fetcher.options.max_bytes)))
            yield Gatherer(client.fetcher, self.store, self.decoders, limits, options, fetch)


def _from(read: Callable[[Candidate], Awaitable[bytes]]) -> Fetch:
    async def fetch(candidate: Candidate) -> Response:
        return Response(candidate.url, 200, {}, await read(candidate))

    return fetch


@asynccontextmanager
async def open_runtime(settings: Settings, database: Database) -> AsyncGenerator[Runtime]:
    """Everything that is opened is closed at the end. Raises StoreError when the store cannot be opened."""
    _allow_files()
    cv2.setNumThreads(1)  # the decoding threads are the parallel part; OpenCV's own would only get into their way
    gc.freeze()  # half a million objects of imported libraries, which no later collection need look through again
    async with database.transaction() as session:
        await hosts.forget(session)
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(Ledger(database.url))
        yield Runtime(settings, database, ledger, stack)


def _allow_files() -> None:
    """Shells and service managers give 1,024 at first and let a program take more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # a system that says no has its reasons
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def runtime_of(context: JobContext) -> Runtime:
    """The runtime that the worker was started with."""
    return cast("Runtime", context.additional_context["runtime"])
