"""Pacing: what a host is asked at once, and how long it is left alone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.errors import FetchFailed, ImageRefused
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.fetch.pacing import LONGEST_BACK_OFF, LONGEST_CRAWL_DELAY, LONGEST_QUIET, Pacer, retry_after
from gleanset.types import Pace, Reason
from tests.engine.hostile import Asked, Hostile, in_turn, reply, status

QUICK = FetchOptions(allow_private=True, pace=Pace(4), back_off=0.01)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 400, 999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("¹²", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Fri, 31 Dec 1999 23:59:59", 0.0),
        ("Fri, 31 Dec 1999 25:61:61 GMT", None),
        ("3000000000 Sep 0 0:0 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_retry_after_a_date() -> None:
    seconds = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True))
    assert seconds is not None
    assert 88 < seconds <= 90


@settings(deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ (GMT|[+-]\d+)"))
def test_no_retry_after_is_fatal(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0


async def slow(_: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.02)
    writer.write(reply())


@pytest.mark.parametrize("slots", [1, 3])
async def test_a_host_is_never_asked_more_at_once_than_allowed(slots: int) -> None:
    paths = [f"/{n}" for n in range(5 * slots)]
    options = FetchOptions(allow_private=True, pace=Pace(slots))
    async with Hostile(dict.fromkeys(paths, slow)) as server, Fetcher(options) as fetcher:
        await asyncio.gather(*(fetcher.get(server.url(path)) for path in paths))
        assert server.busiest == slots
        assert sorted(server.paths()) == sorted(paths)


async def test_hosts_do_not_wait_for_each_other() -> None:
    never = asyncio.Event()

    async def stuck(_: Asked, __: asyncio.StreamWriter) -> None:
        await never.wait()

    async with Hostile({"/": stuck}) as tarpit, Hostile({"/": reply()}) as brisk, Fetcher(QUICK) as fetcher:
        waiting = [asyncio.create_task(fetcher.get(tarpit.url())) for _ in range(20)]
        async with asyncio.timeout(5):
            while tarpit.busy < QUICK.pace.at_once:
                await asyncio.sleep(0.001)
            for _ in range(10):
                await fetcher.get(brisk.url())
        assert tarpit.busiest == QUICK.pace.at_once
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_two_names_of_one_server_are_two_hosts() -> None:
    options = FetchOptions(allow_private=True, pace=Pace(1), hosts={"A.test": "127.0.0.1", "b.test": "127.0.0.1"})
    async with Hostile({"/": slow}) as server, Fetcher(options) as fetcher:
        urls = [server.url(host=name) for name in ("a.test", "A.TEST", "b.test")]
        await asyncio.gather(*(fetcher.get(url) for url in urls * 3))
        assert server.busiest == 2
        assert {asked.headers["host"].split(":")[0] for asked in server.asked} == {"a.test", "b.test"}


def in_a_second() -> str:
    """An HTTP date has whole seconds: this one is 1 to 2 s away."""
    return format_datetime(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_quiets_the_whole_host(code: int, form: str) -> None:
    """The one that was told to wait, one that waits for a slot, and one that comes later."""
    began = time.monotonic()
    value = "1" if form == "seconds" else in_a_second()
    answers = {"/a": in_turn(status(code, f"Retry-After: {value}"), reply()), "/b": reply(), "/c": reply()}
    options = FetchOptions(allow_private=True, pace=Pace(1), back_off=0.01)
    async with Hostile(answers) as server, Hostile({"/": reply()}) as other, Fetcher(options) as fetcher:
        first = [asyncio.create_task(fetcher.get(server.url(path))) for path in ("/a", "/b")]
        while not server.asked:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        assert (await fetcher.get(other.url())).body == b"picture"
        assert server.paths() == ["/a"]
        responses = await asyncio.gather(*first, fetcher.get(server.url("/c")))
        assert {response.body for response in responses} == {b"picture"}
        told, *others = server.asked
        assert sorted(asked.path for asked in others) == ["/a", "/b", "/c"]
        assert min(asked.at for asked in others) - (told.at if form == "seconds" else began) >= 0.99


async def test_the_last_refusal_quiets_the_host_as_well() -> None:
    options = FetchOptions(allow_private=True, attempts=1, pace=Pace(4), back_off=0.01)
    async with (
        Hostile({"/a": status(503), "/b": reply()}) as server,
        Fetcher(replace(options, back_off=1.0)) as fetcher,
    ):
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(server.url("/a"))
        assert caught.value.reason is Reason.SERVER_ERROR
        await fetcher.get(server.url("/b"))
        assert server.asked[1].at - server.asked[0].at >= 0.99


@pytest.mark.parametrize("value", ["31", "Fri, 31 Dec 2199 23:59:59 GMT"])
async def test_who_asks_for_too_long_a_wait_is_not_asked_again(value: str) -> None:
    options = replace(QUICK, patience=30.0)
    async with Hostile({"/": status(429, f"Retry-After: {value}")}) as server, Fetcher(options) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            async with asyncio.timeout(5):
                await fetcher.get(server.url())
        assert caught.value.reason is Reason.RATE_LIMITED
        assert server.paths() == ["/"]


@pytest.mark.parametrize("code", [429, 503])
async def test_a_host_that_wants_long_quiet_is_left_alone_for_every_picture(code: int) -> None:
    answers = {"/a": status(code, "Retry-After: 3600"), "/b": reply()}
    async with Hostile(answers) as server, Hostile({"/": reply()}) as other, Fetcher(QUICK) as fetcher:
        for path in ("/a", "/b", "/a"):
            with pytest.raises(FetchFailed) as caught:
                async with asyncio.timeout(5):
                    await fetcher.get(server.url(path))
        assert caught.value.reason is Reason.RATE_LIMITED
        assert caught.value.detail.startswith("the host asked for quiet, for 3")
        assert server.paths() == ["/a"]
        assert (await fetcher.get(other.url())).body == b"picture"


async def test_no_host_is_left_alone_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.monotonic
    answers = {"/": in_turn(status(429, "Retry-After: Fri, 31 Dec 2199 23:59:59 GMT"), reply())}
    async with Hostile(answers) as server, Fetcher(QUICK) as fetcher:
        assert (await fetcher.request(server.url())).status == 429
        with pytest.raises(FetchFailed):
            await fetcher.request(server.url())
        monkeypatch.setattr(time, "monotonic", lambda: clock() + LONGEST_QUIET)
        assert (await fetcher.request(server.url())).body == b"picture"


def sooner_than(interval: float, server: Hostile, began: float) -> list[Asked]:
    """Which requests came sooner than that many intervals after the first could start. A busy machine brings requests
    to the server late, and so closer together than they started, but never too soon.
    """
    return [asked for number, asked in enumerate(server.asked) if asked.at - began < number * interval]


async def test_requests_start_an_interval_apart() -> None:
    paths = [f"/{n}" for n in range(12)]
    options = FetchOptions(allow_private=True, pace=Pace(4, 0.1))
    async with Hostile({**dict.fromkeys(paths, reply()), "/robots.txt": reply(b"")}) as server:
        began = time.monotonic()
        async with Fetcher(options) as fetcher:
            await asyncio.gather(*(fetcher.get(server.url(path)) for path in paths))
        assert sooner_than(0.1, server, began) == []
        assert len(server.asked) == 13


async def test_a_host_may_have_a_pace_of_its_own() -> None:
    hosts = {"slow.test": "127.0.0.1", "fast.test": "127.0.0.1"}
    options = FetchOptions(allow_private=True, hosts=hosts, pace=Pace(3, 30.0), paces={"fast.test": Pace(2)})
    paths = [f"/{n}" for n in range(10)]
    async with Hostile(dict.fromkeys(paths, slow)) as server, Fetcher(options) as fetcher:
        async with asyncio.timeout(5):
            await asyncio.gather(*(fetcher.get(server.url(path, host="fast.test")) for path in paths))
            await fetcher.request(server.url("/0", host="slow.test"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await fetcher.request(server.url("/1", host="slow.test"))
        assert server.busiest == 2
        assert len(server.asked) == 11


async def test_an_own_host_is_asked_as_fast_as_it_answers() -> None:
    paths = [f"/{n}" for n in range(40)]
    options = FetchOptions(allow_private=True, pace=Pace(1, 30.0), own_hosts=frozenset({"127.0.0.*", "127.0.0.1"}))
    async with Hostile(dict.fromkeys(paths, slow)) as server, Fetcher(options) as fetcher:
        async with asyncio.timeout(5):
            await asyncio.gather(*(fetcher.get(server.url(path)) for path in paths))
        assert server.busiest > 20


async def test_crawl_delay_lengthens_the_pause() -> None:
    answers = {"/robots.txt": reply(b"User-agent: *\nCrawl-delay: 0.3\n"), **dict.fromkeys(["/a", "/b", "/c"], reply())}
    async with Hostile(answers) as server, Fetcher(QUICK) as fetcher:
        began = time.monotonic()
        await asyncio.gather(*(fetcher.get(server.url(path)) for path in ("/a", "/b", "/c")))
        assert sooner_than(0.3, server, began) == []
        assert len(server.asked) == 4


async def test_who_wants_too_long_pauses_is_not_crawled() -> None:
    robots = f"User-agent: *\nCrawl-delay: {LONGEST_CRAWL_DELAY + 0.5}\n".encode()
    async with Hostile({"/robots.txt": reply(robots), "/": reply()}) as server, Fetcher(QUICK) as fetcher:
        with pytest.raises(ImageRefused) as caught:
            await fetcher.get(server.url())
        assert (caught.value.reason, caught.value.detail) == (Reason.CRAWL_DELAY, "Crawl-delay: 30.5, at most 30 s")
        assert server.paths() == ["/robots.txt"]


def test_a_crawl_delay_never_shortens_the_pause() -> None:
    pacer = Pacer(Pace(1, 2.0))
    for delay, interval in ((None, 2.0), (0.5, 2.0), (7.0, 7.0), (1e9, LONGEST_CRAWL_DELAY), (None, 2.0)):
        pacer.keep_crawl_delay(delay)
        assert pacer.interval == interval


def test_quiet_grows_while_a_host_refuses_and_shrinks_when_it_relents() -> None:
    pacer, now, quiets = Pacer(Pace(4)), 100.0, []
    for _ in range(11):
        pacer.refused(now, 0.5, 0.0)
        pacer.refused(now, 0.5, 0.0)  # was under way meanwhile
        quiets.append(pacer.quiet_until - now)
        now = pacer.quiet_until
    assert quiets == [*(0.5 * 2**n for n in range(10)), LONGEST_BACK_OFF]
    pacer.relented()
    pacer.refused(now, 0.5, 0.0)
    assert pacer.quiet_until - now == LONGEST_BACK_OFF
    for _ in range(12):
        pacer.relented()
    now = pacer.quiet_until
    pacer.refused(now, 0.5, 7.0)
    assert pacer.quiet_until - now == 7.0


def test_a_start_that_comes_late_does_not_bring_the_next_one_forward() -> None:
    pacer = Pacer(Pace(1, 2.0))
    assert pacer.wait(100.0) <= 0
    pacer.start(100.0)
    assert pacer.wait(101.5) == 0.5
    pacer.start(105.0)
    assert pacer.wait(105.0) == 2.0
    pacer.quiet(120.0)
    pacer.quiet(110.0)
    assert pacer.wait(105.0) == 15.0


async def test_refusals_without_a_date_are_tried_ever_more_rarely() -> None:
    answers = {"/": status(429), "/mends": in_turn(status(429), status(503), reply())}
    async with Hostile(answers) as server, Fetcher(QUICK) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(server.url())
        assert caught.value.reason is Reason.RATE_LIMITED
        assert len(server.asked) == 8
        gaps = [later.at - sooner.at for sooner, later in pairwise(server.asked)]
        assert [gap >= 0.01 * 2**n for n, gap in enumerate(gaps)] == [True] * 7
        assert (await fetcher.get(server.url("/mends"))).body == b"picture"


async def test_bytes_have_a_rate_too() -> None:
    paths = [f"/{n}" for n in range(8)]
    options = FetchOptions(allow_private=True, pace=Pace(2, rate=100_000.0))
    answers = {**dict.fromkeys(paths, reply(bytes(20_000))), "/robots.txt": status(404)}
    async with Hostile(answers) as server, Fetcher(options) as fetcher:
        began = time.monotonic()
        await asyncio.gather(*(fetcher.get(server.url(path)) for path in paths))
        starts = [asked.at - began for asked in server.asked if asked.path != "/robots.txt"]
    # At most two are under way whose bytes nobody knows yet; each other one waits for a fifth of a second a picture.
    assert [at >= 0.2 * (n - 1) for n, at in enumerate(starts)] == [True] * 8
    assert starts[-1] < 5
