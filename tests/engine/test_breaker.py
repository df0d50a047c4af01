"""Hosts that are down."""

from __future__ import annotations

import asyncio
import time

import pytest

from gleanset.errors import FetchFailed, OutcomeError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.fetch.breaker import FIRST_PAUSE, LONGEST_PAUSE, THRESHOLD, Breaker
from gleanset.types import Pace, Reason
from tests.engine.hostile import Asked, Hostile, cut_off, reply, status

QUICK = FetchOptions(allow_private=True, pace=Pace(2), back_off=0.001, attempts=1)


def fail(breaker: Breaker, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        breaker.failed(Reason.CONNECTION, now)


def is_down(breaker: Breaker, now: float) -> bool:
    try:
        breaker.admit(now)
    except FetchFailed as failure:
        return failure.reason is Reason.HOST_DOWN
    return False


@pytest.mark.parametrize("reason", [Reason.DNS, Reason.CONNECTION, Reason.TLS, Reason.TIMEOUT])
def test_failures_in_a_row_open_it(reason: Reason) -> None:
    breaker = Breaker()
    for _ in range(THRESHOLD - 1):
        breaker.failed(reason, 100.0)
        assert not is_down(breaker, 100.0)
    breaker.failed(reason, 100.0)
    assert is_down(breaker, 100.0)
    assert is_down(breaker, 100.0 + FIRST_PAUSE - 0.01)
    assert not is_down(breaker, 100.0 + FIRST_PAUSE)


def test_it_tells_why_the_host_did_not_answer_in_the_first_place() -> None:
    breaker = Breaker()
    breaker.failed(Reason.DNS, 0.0)
    fail(breaker, THRESHOLD)
    with pytest.raises(FetchFailed) as raised:
        breaker.admit(0.0)
    assert (raised.value.reason, raised.value.cause) == (Reason.HOST_DOWN, Reason.DNS)
    assert raised.value.told == "The host name does not resolve. (no answer 6 times in a row (dns), next try in 60 s)"
    breaker.answered()
    fail(breaker, THRESHOLD)
    with pytest.raises(FetchFailed, match=r"in a row \(connection\)"):
        breaker.admit(0.0)


def test_an_answer_closes_it() -> None:
    breaker = Breaker()
    fail(breaker, THRESHOLD - 1)
    breaker.answered()
    fail(breaker, THRESHOLD - 1)
    assert not is_down(breaker, 0.0)


def test_an_answer_that_is_wrong_is_an_answer() -> None:
    breaker = Breaker()
    for _ in range(3 * THRESHOLD):
        breaker.failed(Reason.BAD_RESPONSE, 0.0)
    assert not is_down(breaker, 0.0)


def test_one_probe_at_a_time_and_longer_pauses() -> None:
    breaker = Breaker()
    fail(breaker, THRESHOLD)
    now, pauses = 0.0, []
    for _ in range(8):
        pauses.append(breaker.down_until - now)
        now = breaker.down_until
        assert breaker.admit(now) is True
        assert is_down(breaker, now)
        fail(breaker, 1, now)
        breaker.end_probe()
    assert pauses == [min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in range(8)]
    assert breaker.admit(breaker.down_until) is True
    breaker.answered()
    breaker.end_probe()
    assert breaker.admit(now) is False


def test_a_probe_that_was_given_up_makes_room_for_another() -> None:
    breaker = Breaker()
    fail(breaker, THRESHOLD)
    assert breaker.admit(FIRST_PAUSE) is True
    breaker.end_probe()
    assert breaker.admit(FIRST_PAUSE) is True


async def reasons(fetcher: Fetcher, urls: list[str]) -> list[Reason | None]:
    async def one(url: str) -> Reason | None:
        try:
            await fetcher.get(url)
        except OutcomeError as error:
            return error.reason
        return None

    return [await one(url) for url in urls]


async def test_a_dead_host_is_left_alone_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.monotonic
    dead, alive = Hostile({"/robots.txt": cut_off(b"")}), Hostile({"/": reply()})
    async with dead, alive, Fetcher(QUICK) as fetcher:
        found = await reasons(fetcher, [dead.url()] * (THRESHOLD + 3))
        assert found == [Reason.CONNECTION] * THRESHOLD + [Reason.HOST_DOWN] * 3
        asked = len(dead.asked)
        assert await reasons(fetcher, [dead.url("/b"), alive.url()]) == [Reason.HOST_DOWN, None]
        assert len(dead.asked) == asked
        monkeypatch.setattr(time, "monotonic", lambda: clock() + FIRST_PAUSE)
        dead.answers = {"/": reply()}
        assert await reasons(fetcher, [dead.url()] * 3) == [None] * 3


async def test_slow_or_broken_bodies_do_not_make_a_host_dead() -> None:
    async def stalls(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"a" * 100)[:-50])
        await asyncio.sleep(30)

    options = FetchOptions(allow_private=True, pace=Pace(20), attempts=1, read_timeout=0.1)
    async with Hostile({"/": stalls, "/bad": status(500)}) as server, Fetcher(options) as fetcher:
        assert await reasons(fetcher, [server.url()] * (THRESHOLD + 2)) == [Reason.TIMEOUT] * (THRESHOLD + 2)
        assert await reasons(fetcher, [server.url("/bad")] * (THRESHOLD + 2)) == [Reason.SERVER_ERROR] * (THRESHOLD + 2)
