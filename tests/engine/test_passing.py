"""Hosts that refuse or are away in passing: their candidates stand aside, and are had afterwards."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gleanset.crawl import CrawlOptions, crawl
from gleanset.decoders import Decoders
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.gather import Gatherer
from gleanset.inspect import InspectLimits
from gleanset.store import Store
from gleanset.types import Downloaded, Failed, Outcome, Pace
from tests.engine.crawling import listed, nothing_known, picture
from tests.engine.hostile import Asked, Handler, Hostile, reply, status

OPTIONS = FetchOptions(allow_private=True, pace=Pace(4), back_off=0.01, max_retry_after=0.1, patience=60.0)
CRAWL = CrawlOptions(window=8, batch=10, flush_after=0.05)
PATHS = [f"/{n}" for n in range(60)]


async def crawled(
    folder: Path, urls: Sequence[str], options: FetchOptions, crawling: CrawlOptions = CRAWL
) -> list[tuple[float, Outcome]]:
    """The outcomes, with the seconds from the beginning at which each came."""
    decoders = Decoders(1)
    found: list[tuple[float, Outcome]] = []
    began = time.monotonic()
    async with Fetcher(options) as fetcher, asyncio.timeout(60):
        gather = Gatherer(fetcher, Store(str(folder)), decoders, InspectLimits()).gather
        pages = [urls[n : n + 20] for n in range(0, len(urls), 20)]
        async for batch in crawl(listed(pages), gather, nothing_known, crawling):
            found += [(time.monotonic() - began, outcome) for outcome in batch.outcomes]
    decoders.close()
    return found


def numbered(answer: Handler) -> dict[str, bytes | Handler]:
    return dict.fromkeys(PATHS, answer)


async def a_picture(_: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(picture()))


def told(found: Sequence[tuple[float, Outcome]]) -> Counter[str]:
    return Counter("had" if isinstance(outcome, Downloaded) else outcome.reason for _, outcome in found)


async def test_one_refusal_loses_nothing_and_holds_up_no_other(tmp_path: Path) -> None:
    refused: list[float] = []

    async def tenth(_: Asked, writer: asyncio.StreamWriter) -> None:
        if len(server.asked) == 10:
            refused.append(asyncio.get_running_loop().time())
            writer.write(status(429, "Retry-After: 6"))
        else:
            writer.write(reply(picture()))

    async with Hostile(numbered(tenth)) as server, Hostile(numbered(a_picture)) as other:
        urls = [*(server.url(path) for path in PATHS), *(other.url(path) for path in PATHS)]
        found = await crawled(tmp_path, urls, OPTIONS)
        assert told(found) == {"had": 120}
        assert [n for n, asked in enumerate(server.asked) if refused[0] + 0.1 < asked.at < refused[0] + 5.9] == []
        assert max(at for at, outcome in found if outcome.candidate.url.startswith(other.url(""))) < 4


async def test_who_stands_aside_leaves_the_limit_to_others(tmp_path: Path) -> None:
    busy, calm = Hostile(dict.fromkeys(PATHS, status(503, "Retry-After: 30"))), Hostile(numbered(a_picture))
    async with busy, calm:
        urls = [*(busy.url(path) for path in PATHS[:20]), *(calm.url(path) for path in PATHS[:20])]
        found = await crawled(tmp_path, urls, OPTIONS, replace(CRAWL, limit=8))
        assert told(found) == {"had": 8}
        assert found[-1][0] < 10
        assert len(calm.asked) == 8


async def test_a_host_that_is_away_for_a_moment_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gleanset.fetch.breaker.FIRST_PAUSE", 0.5)

    async def for_a_second(_: Asked, writer: asyncio.StreamWriter) -> None:
        if len(server.asked) == 10:
            away.append(time.monotonic())
        if away and time.monotonic() - away[0] < 1.0:
            writer.transport.abort()
        else:
            writer.write(reply(picture()))

    away: list[float] = []
    async with Hostile(numbered(for_a_second)) as server:
        found = await crawled(tmp_path, [server.url(path) for path in PATHS], OPTIONS)
        assert told(found) == {"had": 60}
        assert len(server.asked) < 75


@pytest.mark.parametrize(("answer", "reason"), [("refuses", "rate_limited"), ("resets", "host_down")])
async def test_patience_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, reason: str) -> None:
    monkeypatch.setattr("gleanset.fetch.breaker.FIRST_PAUSE", 0.5)

    async def soon_no_more(_: Asked, writer: asyncio.StreamWriter) -> None:
        if len(server.asked) < 10:
            writer.write(reply(picture()))
        elif answer == "resets":
            writer.transport.abort()
        else:
            writer.write(status(429, "Retry-After: 1"))

    async with Hostile(numbered(soon_no_more)) as server:
        found = await crawled(tmp_path, [server.url(path) for path in PATHS], replace(OPTIONS, patience=2.5))
        assert told(found) == {"had": 9, reason: 51}
        assert found[-1][0] < 8
        assert len(server.asked) < 40
    assert all("in a row" in each.detail or "quiet" in each.detail for _, each in found if isinstance(each, Failed))


async def test_a_picture_that_is_refused_for_ever_does_not_stay_for_ever(tmp_path: Path) -> None:
    answers = {**dict.fromkeys(PATHS, reply(picture())), "/0": status(429)}
    async with Hostile(answers) as server:
        found = await crawled(tmp_path, [server.url(path) for path in PATHS], OPTIONS)
        assert told(found) == {"had": 59, "rate_limited": 1}
        assert server.paths().count("/0") == 8
