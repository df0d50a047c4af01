"""Pacing: what a host is asked at once, and how long it is left alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.errors import FetchFailed
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.fetch.pacing import retry_after
from gleanset.types import Reason
from tests.engine.hostile import Asked, Hostile, in_turn, reply, status

QUICK = FetchOptions(allow_private=True, back_off=0.01)


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
    options = FetchOptions(allow_private=True, per_host=slots)
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
            while tarpit.busy < QUICK.per_host:
                await asyncio.sleep(0.001)
            for _ in range(10):
                await fetcher.get(brisk.url())
        assert tarpit.busiest == QUICK.per_host
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_two_names_of_one_server_are_two_hosts() -> None:
    options = FetchOptions(allow_private=True, per_host=1, hosts={"A.test": "127.0.0.1", "b.test": "127.0.0.1"})
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
    value = "1" if form == "seconds" else in_a_second()
    answers = {"/a": in_turn(status(code, f"Retry-After: {value}"), reply()), "/b": reply(), "/c": reply()}
    options = FetchOptions(allow_private=True, per_host=1, back_off=0.01)
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
        assert min(asked.at for asked in others) - told.at >= (0.99 if form == "seconds" else 0.9)


async def test_the_last_refusal_quiets_the_host_as_well() -> None:
    options = FetchOptions(allow_private=True, attempts=1, back_off=0.01)
    async with Hostile({"/a": status(429, "Retry-After: 1"), "/b": reply()}) as server, Fetcher(options) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(server.url("/a"))
        assert caught.value.reason is Reason.RATE_LIMITED
        await fetcher.get(server.url("/b"))
        assert server.asked[1].at - server.asked[0].at >= 0.99


@pytest.mark.parametrize("value", ["31", "Fri, 31 Dec 2199 23:59:59 GMT"])
async def test_who_asks_for_too_long_a_wait_is_not_asked_again(value: str) -> None:
    async with Hostile({"/": status(429, f"Retry-After: {value}")}) as server, Fetcher(QUICK) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            async with asyncio.timeout(5):
                await fetcher.get(server.url())
        assert caught.value.reason is Reason.RATE_LIMITED
        assert server.paths() == ["/"]


async def test_refusals_without_a_date_are_tried_a_few_times() -> None:
    answers = {"/": status(429), "/mends": in_turn(status(429), status(503), reply())}
    async with Hostile(answers) as server, Fetcher(QUICK) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(server.url())
        assert caught.value.reason is Reason.RATE_LIMITED
        assert server.paths() == ["/"] * QUICK.attempts
        assert (await fetcher.get(server.url("/mends"))).body == b"picture"
