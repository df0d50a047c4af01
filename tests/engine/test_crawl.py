"""The pipeline: every candidate one outcome, exact limits, bounded memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.crawl import CrawlOptions, crawl
from gleanset.decoders import Decoders
from gleanset.errors import StoreError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.gather import Gatherer
from gleanset.inspect import InspectLimits
from gleanset.store import Store
from gleanset.types import Candidate, Downloaded, Failed, Outcome, Page, Refused
from tests.engine.crawling import (
    QUICK,
    all_of,
    candidate,
    downloaded,
    failed,
    listed,
    nothing_known,
    numbered,
    picture,
    take,
    urls_of,
)
from tests.engine.hostile import Hostile, reply


async def test_every_candidate_has_one_outcome() -> None:
    pages = [*numbered(7, 13), [], ["http://h/last"], []]
    batches = await all_of(crawl(listed(pages), take, nothing_known, QUICK))
    assert Counter(urls_of(batches)) == Counter(url for page in pages for url in page)
    assert (batches[-1].cursor, batches[-1].exhausted) == (None, True)
    assert not any(batch.exhausted for batch in batches[:-1] if len(batch.outcomes) == 0)


@pytest.mark.parametrize("pages", [[[]], [[], [], []]])
async def test_a_source_with_nothing(pages: list[list[str]]) -> None:
    batches = await all_of(crawl(listed(pages), take, nothing_known, QUICK))
    assert urls_of(batches) == []
    assert batches[-1].exhausted


async def test_a_source_without_a_page_leaves_the_cursor() -> None:
    (batch,) = await all_of(crawl(listed([]), take, nothing_known, QUICK, cursor="7"))
    assert (batch.outcomes, batch.cursor) == ([], "7")


async def test_batches_come_before_the_source_ends() -> None:
    """A slow source does not hold back what is finished, and a full batch does not wait for the clock."""
    more = asyncio.Event()

    async def slow() -> AsyncIterator[Page]:
        yield Page(tuple(candidate(f"http://h/{n}") for n in range(10)), "1")
        await more.wait()
        yield Page((candidate("http://h/10"),), None)

    patient = replace(QUICK, flush_after=60.0)
    async with asyncio.timeout(5), aclosing(crawl(slow(), take, nothing_known, patient)) as batches:
        assert sorted(urls_of([await anext(batches)])) == sorted(f"http://h/{n}" for n in range(10))
        more.set()
        rest = await all_of(batches)
    assert urls_of(rest) == ["http://h/10"]
    assert rest[-1].exhausted


async def test_duplicates_in_one_run_are_visited_once() -> None:
    visits: Counter[str] = Counter()

    async def gather(wanted: Candidate) -> Outcome:
        visits[wanted.url] += 1
        await asyncio.sleep(0.001)
        return downloaded(wanted)

    pages = [["http://h/a", "http://h/b", "http://h/a"], ["http://h/b", "http://h/c"], ["http://h/a"]]
    batches = await all_of(crawl(listed(pages), gather, nothing_known, QUICK))
    assert visits == Counter(["http://h/a", "http://h/b", "http://h/c"])
    assert sorted(urls_of(batches)) == sorted(visits)
    assert batches[-1].exhausted


async def test_of_duplicates_the_first_counts() -> None:
    async def source() -> AsyncIterator[Page]:
        yield Page(tuple(Candidate(url="http://h/a", label=label, source="test") for label in ("cat", "dog")), None)

    (batch,) = await all_of(crawl(source(), take, nothing_known, QUICK))
    assert [outcome.candidate.label for outcome in batch.outcomes] == ["cat"]


async def test_what_is_known_is_not_visited() -> None:
    asked: list[str] = []

    async def known(candidates: Sequence[Candidate]) -> Collection[str]:
        asked.extend(c.url for c in candidates)
        return {c.url for c in candidates if int(c.url.rsplit("/", 1)[1]) % 2}

    pages = numbered(3, 10)
    batches = await all_of(crawl(listed(pages), take, known, QUICK))
    assert asked == [url for page in pages for url in page]
    assert sorted(urls_of(batches)) == sorted(f"http://h/{n}" for n in range(0, 30, 2))
    assert batches[-1].exhausted


async def test_all_known_is_exhausted_too() -> None:
    async def known(candidates: Sequence[Candidate]) -> Collection[str]:
        return {c.url for c in candidates}

    batches = await all_of(crawl(listed(numbered(3, 10)), take, known, QUICK))
    assert urls_of(batches) == []
    assert batches[-1].exhausted


# --- limits ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    good=st.lists(st.booleans(), min_size=1, max_size=80),
    limit=st.integers(0, 40),
    window=st.integers(1, 20),
    batch=st.integers(1, 20),
)
def test_the_limit_is_exact_and_costs_no_needless_visit(good: list[bool], limit: int, window: int, batch: int) -> None:
    have, running, visits = 0, 0, 0

    async def gather(wanted: Candidate) -> Outcome:
        nonlocal have, running, visits
        running, visits = running + 1, visits + 1
        assert have + running <= limit
        assert running <= window
        n = int(wanted.url.rsplit("/", 1)[1])
        for _ in range(n * 7 % 5):
            await asyncio.sleep(0)
        running, have = running - 1, have + good[n]
        return downloaded(wanted) if good[n] else failed(wanted)

    options = CrawlOptions(window=window, batch=batch, flush_after=0.001, limit=limit)
    urls = [f"http://h/{n}" for n in range(len(good))]
    pages = [urls[n : n + 7] for n in range(0, len(urls), 7)]
    batches = asyncio.run(all_of(crawl(listed(pages), gather, nothing_known, options)))
    outcomes = [outcome for batch in batches for outcome in batch.outcomes]
    assert sum(isinstance(outcome, Downloaded) for outcome in outcomes) == min(limit, sum(good))
    assert visits == len(outcomes)
    assert batches[-1].exhausted or sum(good) >= limit


async def test_a_reached_limit_does_not_wait_for_the_clock_or_the_source() -> None:
    async def endless() -> AsyncIterator[Page]:
        yield Page(tuple(candidate(f"http://h/{n}") for n in range(5)), "1")
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        batches = await all_of(crawl(endless(), take, nothing_known, replace(QUICK, limit=5, flush_after=60.0)))
    assert len(urls_of(batches)) == 5


# --- flow ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 3, 50])
async def test_the_window_is_used_and_never_exceeded(window: int) -> None:
    running, most = 0, 0

    async def gather(wanted: Candidate) -> Outcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return downloaded(wanted)

    batches = await all_of(crawl(listed(numbered(12, 10)), gather, nothing_known, replace(QUICK, window=window)))
    assert len(urls_of(batches)) == 120
    assert most == window


async def test_a_slow_consumer_halts_the_pipeline() -> None:
    read, visits = 0, 0

    async def source() -> AsyncIterator[Page]:
        nonlocal read
        for urls in numbered(500, 10):
            read += 1
            yield Page(tuple(candidate(url) for url in urls), str(read))

    async def gather(wanted: Candidate) -> Outcome:
        nonlocal visits
        visits += 1
        return downloaded(wanted)

    room = QUICK.window + 4 * QUICK.batch
    async with aclosing(crawl(source(), gather, nothing_known, QUICK)) as batches:
        first = await anext(batches)
        for _ in range(2000):
            await asyncio.sleep(0)
        assert visits <= len(first.outcomes) + room
        assert read <= visits / 10 + 1
        seen = visits
        for _ in range(2000):
            await asyncio.sleep(0)
        assert visits == seen


async def test_closing_early_leaves_nothing_behind() -> None:
    """No task goes on, the one in a visit is told, and the source is closed too."""
    cancelled, closed = 0, False

    async def gather(wanted: Candidate) -> Outcome:
        nonlocal cancelled
        if int(wanted.url.rsplit("/", 1)[1]) < 10:
            return downloaded(wanted)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise
        raise AssertionError

    async def source() -> AsyncIterator[Page]:
        nonlocal closed
        try:
            async for page in listed(numbered(10, 30)):
                yield page
        finally:
            closed = True

    async with aclosing(crawl(source(), gather, nothing_known, QUICK)) as batches:
        await anext(batches)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert cancelled > 0
    assert closed


async def test_a_cancelled_consumer_leaves_no_task() -> None:
    async def stuck(_: Candidate) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    consumer = asyncio.create_task(all_of(crawl(listed(numbered(5, 5)), stuck, nothing_known, QUICK)))
    await asyncio.sleep(0.03)
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_twenty_thousand_candidates_in_bounded_memory() -> None:
    """Outcomes carry a kilobyte of metadata each, 20 MB in all, and are gone when the consumer drops them."""

    async def source() -> AsyncIterator[Page]:
        for page in range(200):
            yield Page(
                tuple(
                    replace(candidate(f"http://h/{page}/{n}"), metadata={"page": page, "text": f"{n:01000}"})
                    for n in range(100)
                ),
                str(page + 1) if page < 199 else None,
            )

    async def gather(wanted: Candidate) -> Outcome:
        return downloaded(wanted)

    count = 0
    tracemalloc.start()
    try:
        async for batch in crawl(source(), gather, nothing_known):
            count += len(batch.outcomes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 12_000_000, f"{peak:,} bytes"


# --- the real thing --------------------------------------------------------------------------------------------------


async def test_fetch_inspect_and_store(tmp_path: Path) -> None:
    good, other = picture(1), picture(2)
    answers = {
        "/good.png": reply(good),
        "/again.jpg": reply(good),
        "/other": reply(other),
        "/page.jpg": reply(b"<html>sorry</html>"),
        "/cut.png": reply(good[: len(good) // 2]),
        "/empty.png": reply(b""),
        "/forbidden": reply(b"no", code=403),
    }
    store = Store(str(tmp_path / "blobs"))
    options = FetchOptions(allow_private=True, back_off=0.01, attempts=1)
    async with Hostile(dict(answers)) as server, Fetcher(options) as fetcher:
        urls = [server.url(path) for path in answers] + [server.url("/missing"), "file:///etc/passwd"]
        with closing(Decoders(2)) as decoders:
            gather = Gatherer(fetcher, store, decoders, InspectLimits()).gather
            batches = await all_of(crawl(listed([urls]), gather, nothing_known, QUICK))
        outcomes = {o.candidate.url.removeprefix(server.url("")): o for b in batches for o in b.outcomes}
    told = {
        path: str(outcome.reason) if isinstance(outcome, Refused | Failed) else "ok"
        for path, outcome in outcomes.items()
    }
    assert told == {
        "/good.png": "ok",
        "/again.jpg": "ok",
        "/other": "ok",
        "/page.jpg": "not_an_image",
        "/cut.png": "truncated",
        "/empty.png": "empty",
        "/forbidden": "forbidden",
        "/missing": "not_found",
        "file:///etc/passwd": "bad_url",
    }
    had = [outcome for outcome in outcomes.values() if isinstance(outcome, Downloaded)]
    keys = {outcome.key for outcome in had}
    assert len(keys) == 2
    assert {await store.get(key) for key in keys} == {good, other}
    assert {blob.key async for blobs in store.blobs() for blob in blobs} == keys


async def test_a_store_that_cannot_write_ends_the_run(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    (tmp_path / "blobs").rmdir()
    (tmp_path / "blobs").write_bytes(b"a file where the folder was")
    async with Hostile({"/a.png": reply(picture())}) as server, Fetcher(FetchOptions(allow_private=True)) as fetcher:
        with closing(Decoders(1)) as decoders:
            gather = Gatherer(fetcher, store, decoders, InspectLimits()).gather
            with pytest.raises(StoreError, match="cannot be opened"):
                await all_of(crawl(listed([[server.url("/a.png")]]), gather, nothing_known, QUICK))
