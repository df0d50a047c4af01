"""Runs of the pipeline that are killed or break: the cursor loses nothing, and what was finished comes out first."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.crawl import Batch, CrawlOptions, crawl
from gleanset.errors import SourceError, StoreError
from gleanset.types import Candidate, Outcome, Page
from tests.engine.crawling import (
    QUICK,
    all_of,
    candidate,
    downloaded,
    failed,
    listed,
    nothing_known,
    numbered,
    take,
    urls_of,
)

# --- cursors ---------------------------------------------------------------------------------------------------------


class Ledger:
    """What a consumer that commits every batch remembers, and all it has when the process is gone."""

    def __init__(self, pages: Sequence[Sequence[str]]) -> None:
        self.pages = pages
        self.recorded: Counter[str] = Counter()
        self.cursor: str | None = None
        self.done = False

    async def known(self, candidates: Sequence[Candidate]) -> Collection[str]:
        return {c.url for c in candidates if c.url in self.recorded}

    def commit(self, batch: Batch) -> None:
        self.recorded.update(outcome.candidate.url for outcome in batch.outcomes)
        self.cursor, self.done = batch.cursor, batch.exhausted
        before = self.pages if self.done else self.pages[: int(self.cursor or 0)]
        skipped = {url for page in before for url in page} - self.recorded.keys()
        assert not skipped, f"the cursor {self.cursor} has moved past {skipped}"


async def killed_run(ledger: Ledger, delays: Callable[[str], int], options: CrawlOptions, batches: int) -> None:
    """A run that is gone after some batches."""

    async def gather(wanted: Candidate) -> Outcome:
        for _ in range(delays(wanted.url)):
            await asyncio.sleep(0)
        return downloaded(wanted) if len(wanted.url) % 2 else failed(wanted)

    run = crawl(listed(ledger.pages, ledger.cursor), gather, ledger.known, options, ledger.cursor)
    async with aclosing(run):
        async for batch in run:
            ledger.commit(batch)
            batches -= 1
            if batches == 0:
                return


addresses = st.integers(0, 40).map("http://h/{}".format)


@settings(max_examples=120, deadline=None)
@given(
    pages=st.lists(st.lists(addresses, max_size=12), min_size=1, max_size=8),
    kills=st.lists(st.integers(1, 4), max_size=6),
    window=st.integers(1, 9),
    batch=st.integers(1, 9),
    seed=st.integers(0, 2**31),
)
def test_killed_anywhere_and_started_again_nothing_is_lost_or_doubled(
    pages: list[list[str]], kills: list[int], window: int, batch: int, seed: int
) -> None:
    ledger = Ledger(pages)
    options = CrawlOptions(window=window, batch=batch, flush_after=0.001)

    async def run() -> None:
        for batches in [*kills, 0]:
            if not ledger.done:
                await killed_run(ledger, lambda url: hash((url, seed)) % 17, options, batches)

    asyncio.run(run())
    assert ledger.done
    assert ledger.recorded == Counter({url for page in pages for url in page})


async def test_the_cursor_waits_for_the_slowest_of_a_page() -> None:
    free = asyncio.Event()

    async def gather(wanted: Candidate) -> Outcome:
        if wanted.url == "http://h/2":
            await free.wait()
        return downloaded(wanted)

    async with aclosing(crawl(listed(numbered(4, 5)), gather, nothing_known, QUICK)) as batches:
        before: list[Batch] = []
        while len(urls_of(before)) < 19:
            before.append(await anext(batches))
        assert {batch.cursor for batch in before} == {None}
        assert not any(batch.exhausted for batch in before)
        free.set()
        after = await all_of(batches)
    assert urls_of(after) == ["http://h/2"]
    assert (after[-1].cursor, after[-1].exhausted) == (None, True)


# --- errors ----------------------------------------------------------------------------------------------------------


async def collected(batches: AsyncIterator[Batch], into: list[Batch]) -> None:
    async for batch in batches:
        into.append(batch)


async def test_a_source_error_comes_after_what_was_finished() -> None:
    async def breaking() -> AsyncIterator[Page]:
        yield Page(tuple(candidate(f"http://h/{n}") for n in range(25)), "1")
        raise SourceError("The service is down.", retryable=True)

    async def gather(wanted: Candidate) -> Outcome:
        await asyncio.sleep(0.01)
        return downloaded(wanted)

    had: list[Batch] = []
    with pytest.raises(SourceError, match="The service is down"):
        await collected(crawl(breaking(), gather, nothing_known, QUICK), had)
    assert sorted(urls_of(had)) == sorted(f"http://h/{n}" for n in range(25))
    assert (had[-1].cursor, had[-1].exhausted) == ("1", False)


async def test_an_error_of_known_ends_the_run() -> None:
    async def broken(_: Sequence[Candidate]) -> Collection[str]:
        raise ConnectionError("the database is gone")

    with pytest.raises(ConnectionError):
        await all_of(crawl(listed(numbered(2, 2)), take, broken, QUICK))


async def test_a_store_error_ends_the_run_after_what_was_finished() -> None:
    async def gather(wanted: Candidate) -> Outcome:
        if wanted.url == "http://h/7":
            await asyncio.sleep(0.005)
            raise StoreError("no space left on the device")
        return downloaded(wanted)

    had: list[Batch] = []
    with pytest.raises(StoreError, match="no space left"):
        await collected(crawl(listed(numbered(1, 8)), gather, nothing_known, QUICK), had)
    assert sorted(urls_of(had)) == [f"http://h/{n}" for n in range(7)]
    assert had[-1].cursor is None
    assert not had[-1].exhausted


async def test_a_store_error_ends_the_run_soon_however_much_still_finishes() -> None:
    """A full disk refuses images for as long as there are any, while failures keep coming in."""
    visits = 0

    async def gather(wanted: Candidate) -> Outcome:
        nonlocal visits
        visits += 1
        number = visits
        await asyncio.sleep(0)
        if number > 20 and number % 2:
            raise StoreError("no space left on the device")
        return failed(wanted)

    async def committing() -> None:
        async with aclosing(crawl(listed(numbered(50, 100)), gather, nothing_known, QUICK)) as batches:
            async for _ in batches:
                await asyncio.sleep(0.005)  # meanwhile others finish

    with pytest.raises(StoreError):
        await committing()
    assert visits < 200


async def test_a_url_that_comes_back_at_any_time_is_visited_once() -> None:
    pages = [[f"http://h/{n % 700}" for n in range(page * 30, page * 30 + 40)] for page in range(150)]
    ledger, visits = Ledger(pages), Counter[str]()

    async def gather(wanted: Candidate) -> Outcome:
        visits[wanted.url] += 1
        for _ in range(hash(wanted.url) % 40):
            await asyncio.sleep(0)
        return downloaded(wanted)

    async with aclosing(crawl(listed(pages), gather, ledger.known, QUICK)) as batches:
        async for batch in batches:
            await asyncio.sleep(0.001)  # recorded some time after it was handed over
            ledger.commit(batch)
    assert visits == ledger.recorded == Counter(f"http://h/{n}" for n in range(700))


async def test_a_run_remembers_nothing_of_what_is_recorded() -> None:
    recorded = bytearray(40_000)

    async def source() -> AsyncIterator[Page]:
        for first in range(0, len(recorded), 200):
            yield Page(tuple(candidate(f"http://h/{n}?{'x' * 200}") for n in range(first, first + 200)), "next")

    def number(of: Candidate) -> int:
        return int(of.url.split("?")[0].rsplit("/", 1)[1])

    async def known(candidates: Sequence[Candidate]) -> Collection[str]:
        return {each.url for each in candidates if recorded[number(each)]}

    async def gather(wanted: Candidate) -> Outcome:
        return failed(wanted)

    held: list[int] = []
    tracemalloc.start()
    try:
        async with aclosing(crawl(source(), gather, known)) as batches:
            async for batch in batches:
                for outcome in batch.outcomes:
                    recorded[number(outcome.candidate)] = 1
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sum(recorded) == len(recorded)
    assert max(held[len(held) // 2 :]) < max(held[: len(held) // 2]) + 1_000_000, "it is as large as at first"
