"""A crawl of several hosts: the window bounds what is under way, and a slow host holds up no other."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gleanset.crawl import CrawlOptions, crawl
from gleanset.decoders import Decoders
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.gather import Gatherer
from gleanset.inspect import InspectLimits
from gleanset.store import Store
from gleanset.types import Downloaded, Pace
from gleanset.window import PLACE, Window, has_place, leave_place, take_place
from tests.engine.crawling import listed, nothing_known, picture
from tests.engine.hostile import Asked, Hostile, reply, status


async def test_a_place_is_left_and_taken_again() -> None:
    window = Window(1)
    place = await window.place()
    PLACE.set(place)
    assert has_place()
    leave_place()
    leave_place()
    assert not has_place()
    other = await window.place()
    back = asyncio.create_task(take_place())
    await asyncio.sleep(0)
    assert not back.done()
    other.leave()
    await back
    assert has_place()
    place.leave()


async def test_without_a_window_there_is_always_room() -> None:
    leave_place()
    await take_place()
    assert has_place()


async def test_a_slow_host_holds_up_no_other_and_the_window_is_kept(tmp_path: Path) -> None:
    under_way = [0, 0]

    async def some_time(_: Asked, writer: asyncio.StreamWriter) -> None:
        under_way[0] += 1
        under_way[1] = max(under_way)
        await asyncio.sleep(0.02)
        writer.write(reply(picture()))
        under_way[0] -= 1

    paths = [f"/{n}" for n in range(30)]
    answers = {"/robots.txt": reply(b"User-agent: *\nCrawl-delay: 20\n"), **dict.fromkeys(paths, some_time)}
    options = FetchOptions(allow_private=True, pace=Pace(8), back_off=0.01)
    slow, brisk = Hostile(dict(answers)), [Hostile(dict.fromkeys(paths, some_time)) for _ in range(3)]
    decoders = Decoders(1)
    async with slow, brisk[0], brisk[1], brisk[2], Fetcher(options) as fetcher:
        urls = [slow.url(path) for path in paths]
        urls += [server.url(path) for path in paths for server in brisk]
        gather = Gatherer(fetcher, Store(str(tmp_path)), decoders, InspectLimits()).gather
        had: list[str] = []
        began = time.monotonic()
        batches = crawl(listed([urls]), gather, nothing_known, CrawlOptions(window=4, batch=10, flush_after=0.05))
        async for batch in batches:
            had += [outcome.candidate.url for outcome in batch.outcomes if isinstance(outcome, Downloaded)]
            if len(had) == 90:
                break
        await batches.aclose()
        assert time.monotonic() - began < 10
        assert {url.rpartition("/")[0] for url in had} == {server.url("") for server in brisk}
        assert slow.paths() == ["/robots.txt"]
    assert under_way[1] == 4
    decoders.close()


async def test_questions_for_rules_stand_in_the_window_too(tmp_path: Path) -> None:
    names = [f"h{n}.test" for n in range(40)]
    options = FetchOptions(allow_private=True, hosts=dict.fromkeys(names, "127.0.0.1"), back_off=0.01)
    decoders = Decoders(1)

    async def some_time(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(reply(picture()))

    answers = dict.fromkeys(("/robots.txt", "/.well-known/tdmrep.json", "/a"), some_time)
    async with Hostile(dict(answers)) as server, Fetcher(options) as fetcher:
        gather = Gatherer(fetcher, Store(str(tmp_path)), decoders, InspectLimits()).gather
        urls = [server.url("/a", host=name) for name in names]
        batches = crawl(listed([urls]), gather, nothing_known, CrawlOptions(window=4, batch=10, flush_after=0.05))
        outcomes = [outcome async for batch in batches for outcome in batch.outcomes]
        assert sum(isinstance(outcome, Downloaded) for outcome in outcomes) == 40
        assert len(server.asked) == 120
        assert server.busiest == 4
    decoders.close()


async def test_who_leaves_while_rules_are_asked_for_takes_no_place_along() -> None:
    window = Window(1)

    async def some_time(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(reply(b""))

    async def one(fetcher: Fetcher, url: str) -> None:
        place = await window.place()
        PLACE.set(place)
        try:
            await fetcher.get(url)
        finally:
            place.leave()

    server = Hostile({"/robots.txt": some_time, "/": reply()})
    async with server, Fetcher(FetchOptions(allow_private=True)) as fetcher:
        first = asyncio.create_task(one(fetcher, server.url()))
        await asyncio.sleep(0.02)
        first.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(*(one(fetcher, server.url()) for _ in range(3)))
            (await window.place()).leave()


async def test_a_pause_between_two_tries_is_not_spent_in_the_window(tmp_path: Path) -> None:
    options = FetchOptions(allow_private=True, own_hosts=frozenset({"127.0.0.1"}), back_off=1.0)
    decoders = Decoders(1)
    async with Hostile({"/bad": status(500), "/good": reply(picture())}) as server, Fetcher(options) as fetcher:
        gather = Gatherer(fetcher, Store(str(tmp_path)), decoders, InspectLimits()).gather
        began = time.monotonic()
        batches = crawl(
            listed([[server.url("/bad"), server.url("/good")]]), gather, nothing_known,
            CrawlOptions(window=1, batch=1, flush_after=0.05),
        )  # fmt: skip
        outcomes = [outcome async for batch in batches for outcome in batch.outcomes]
        assert isinstance(outcomes[0], Downloaded)
        assert time.monotonic() - began > 2
        assert server.paths() == ["/bad", "/good", "/bad", "/bad"]
    decoders.close()
