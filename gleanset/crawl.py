"""The pipeline: candidates -> fetch -> inspect -> store -> outcomes, with bounded memory.

Candidates of several pages are in flight at once and finish in any order; outcomes leave in batches, each with the
cursor from which a new run would go on. The cursor only moves past a page when every outcome of it has been handed
over, so a run that is killed between two batches repeats a little and loses nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from gleanset.types import Candidate, Downloaded, Outcome, Page
from gleanset.window import PLACE, Place, Window

_CROWD = 64  # windows of candidates that may wait for their hosts

KnownUrls = Callable[[Sequence[Candidate]], Awaitable[Collection[str]]]
"""Tells which URLs of these candidates are accounted for already and need no visit: those of the batches that were
yielded are among them, so that a run need not remember what it met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlOptions:
    """Sizes of one run.

    window: candidates being fetched or inspected at once; so many times 64 may be under way, with those that wait for
    their host. batch: outcomes that are worth a transaction. flush_after: seconds after which a smaller batch
    is handed over. limit: stop at this many downloads. grace: seconds for what is under way when the run is stopped.
    """

    window: int = 64
    batch: int = 1000
    flush_after: float = 0.5
    limit: int | None = None
    grace: float = 1.5


@dataclass(frozen=True, slots=True)
class Batch:
    """Outcomes since the batch before, and where a new run would go on behind them.

    `exhausted`: the source has nothing more behind this batch.
    """

    outcomes: list[Outcome]
    cursor: str | None
    exhausted: bool


async def crawl(
    pages: AsyncIterator[Page],
    gather: Callable[[Candidate], Awaitable[Outcome]],
    known: KnownUrls,
    options: CrawlOptions | None = None,
    cursor: str | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[Batch]:
    """Run the pipeline over `pages`, which begin at `cursor`.

    Yields batches until the pages end or `limit` is reached. An error of the source or the store is raised after the
    outcomes that were finished before it have been yielded. Close the generator (`contextlib.aclosing`) to stop at
    once; `pages` is closed with it. Set `stop` to end gently: nothing new begins, what is under way has a moment to
    finish, and what has finished is yielded.
    """
    run = _Run(gather, known, options or CrawlOptions(), cursor)
    async with aclosing(run.batches(pages, stop or asyncio.Event())) as batches:
        async for batch in batches:
            yield batch


class _PageInFlight:
    """A page and how many of its outcomes are not handed over yet."""

    def __init__(self, pending: int, cursor: str | None) -> None:
        self.pending = pending
        self.cursor = cursor


class _Run:
    def __init__(
        self,
        gather: Callable[[Candidate], Awaitable[Outcome]],
        known: KnownUrls,
        options: CrawlOptions,
        cursor: str | None,
    ) -> None:
        self._gather = gather
        self._known = known
        self._options = options
        self._cursor = cursor
        self._exhausted = False
        self._downloads = 0
        self._pages: deque[_PageInFlight] = deque()
        self._open: set[str] = set()  # URLs that are under way, or of which `known` cannot tell yet
        self._finished: list[tuple[_PageInFlight, Outcome]] = []
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None
        self._window = Window(options.window, options.limit)
        self._under_way = asyncio.Semaphore(_CROWD * options.window)
        # For what is finished but not handed over: when the consumer is slow, the pipeline waits.
        self._room = asyncio.Semaphore(4 * options.batch)

    async def batches(self, pages: AsyncIterator[Page], stop: asyncio.Event) -> AsyncGenerator[Batch]:
        producer = asyncio.create_task(self._produce(pages))
        stopper = asyncio.create_task(self._stop(stop, producer))
        try:
            while True:
                await self._wait()
                ended = stopper.done() if stop.is_set() else producer.done()
                # What happens while the consumer has this batch belongs to the next one.
                taken, self._finished = self._finished, []
                error, complete = self._error, self._limit_reached()
                if taken or (ended and error is None):
                    yield self._handed_over(taken)
                    self._open.difference_update(outcome.candidate.url for _, outcome in taken)
                if complete:
                    return
                if error is not None:
                    raise error
                if ended:
                    return
        finally:
            await _cancelled([stopper, producer, *self._tasks])

    async def _stop(self, stop: asyncio.Event, producer: asyncio.Task[None]) -> None:
        """When told to, begin nothing new, and let what is under way finish that soon can."""
        await stop.wait()
        await _cancelled([producer])
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._options.grace)
        await _cancelled([*self._tasks])
        self._wake.set()

    def _limit_reached(self) -> bool:
        return self._options.limit is not None and self._downloads >= self._options.limit

    async def _wait(self) -> None:
        """Until there is a batch worth handing over, or nothing more will come."""
        try:
            async with asyncio.timeout(self._options.flush_after):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _handed_over(self, taken: list[tuple[_PageInFlight, Outcome]]) -> Batch:
        for page, _ in taken:
            page.pending -= 1
            self._room.release()
        while self._pages and self._pages[0].pending == 0:
            self._cursor = self._pages.popleft().cursor
            self._exhausted = self._cursor is None
        return Batch([outcome for _, outcome in taken], self._cursor, self._exhausted and not self._pages)

    async def _produce(self, pages: AsyncIterator[Page]) -> None:
        """Start a task a candidate, then wait for the last of them."""
        failure = None
        try:
            if self._options.limit != 0:
                async for page in pages:
                    await self._start(page)
        except Exception as error:
            failure = error
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._error = self._error or failure
        self._wake.set()

    async def _start(self, page: Page) -> None:
        new = [c for c in page.candidates if c.url not in self._open]
        known = await self._known(new) if new else ()
        fresh = list({c.url: c for c in reversed(new) if c.url not in known}.values())[::-1]
        self._open.update(c.url for c in fresh)
        in_flight = _PageInFlight(len(fresh), page.cursor)
        self._pages.append(in_flight)
        for candidate in fresh:
            await self._under_way.acquire()
            place = await self._window.place()
            task = asyncio.create_task(self._one(in_flight, candidate, place))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, page: _PageInFlight, candidate: Candidate, place: Place) -> None:
        PLACE.set(place)
        try:
            outcome = await self._gather(candidate)
            await self._room.acquire()
        except Exception as error:
            self._error = self._error or error
            self._wake.set()
            return
        finally:
            place.leave()
            self._under_way.release()
        if isinstance(outcome, Downloaded):
            self._downloads += 1
        else:
            place.stand_aside()
        self._finished.append((page, outcome))
        if len(self._finished) >= self._options.batch or self._limit_reached():
            self._wake.set()


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
