"""Names that are slow to look up, and others beside them."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from typing import Any

import pytest

from gleanset.errors import FetchFailed, OutcomeError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.fetch.names import Resolver
from gleanset.types import Reason
from tests.engine.hostile import Hostile, reply

OPTIONS = FetchOptions(allow_private=True, total_timeout=1.0)


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often names were looked up. Those below dead.test take 1.2 s to fail, those below good.test are here."""
    real, seen = socket.getaddrinfo, Counter[str]()

    def look_up(host: str, *args: Any, **options: Any) -> Any:
        seen[host] += 1
        if host.endswith(".dead.test"):
            time.sleep(1.2)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real("127.0.0.1" if host.endswith(".good.test") else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return seen


async def test_dead_names_take_no_time_of_healthy_hosts(lookups: Counter[str]) -> None:
    async with Hostile({"/": reply()}) as server, Fetcher(OPTIONS) as fetcher:

        async def reason(host: str) -> str:
            try:
                await fetcher.get(server.url(host=host))
            except OutcomeError as error:
                return error.reason
            return "had"

        names = [f"h{n}.dead.test" for n in range(150)] + [f"h{n}.good.test" for n in range(30)]
        asking = asyncio.gather(*(reason(name) for name in names))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await asyncio.to_thread(lambda: None)
        assert time.monotonic() - began < 0.5, "work in threads does not wait for lookups"
        found = await asking
        assert Counter(found[:150]) == {"dns": 150}
        assert Counter(found[150:]) == {"had": 30}
    assert lookups["h0.good.test"] == 1, "robots.txt, tdmrep.json and the picture share it"


async def test_a_lookup_has_a_limit_of_its_own(lookups: Counter[str]) -> None:
    options = FetchOptions(allow_private=True, lookup_timeout=0.2)
    async with Fetcher(options) as fetcher:
        began = time.monotonic()
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get("http://a.dead.test/")
        assert time.monotonic() - began < 1.0
    assert (caught.value.reason, caught.value.detail) == (Reason.DNS, "a.dead.test: no answer within 0.2 s")


async def test_no_more_threads_than_there_are_places(lookups: Counter[str]) -> None:
    """Also when nobody waits any more for those that hang."""
    resolver = Resolver({}, patience=0.1)
    results = await asyncio.gather(*(resolver.resolve(f"h{n}.dead.test") for n in range(100)), return_exceptions=True)
    assert all(isinstance(result, OSError) for result in results)
    assert sum(thread.name == "gleanset-lookup" for thread in threading.enumerate()) <= 64
    await resolver.close()


async def test_fixed_names_come_first(lookups: Counter[str]) -> None:
    resolver = Resolver({"fixed.test": "127.0.0.1"}, patience=5.0)
    assert not resolver.knows("Fixed.test")
    for _ in range(2):
        [found] = await resolver.resolve("Fixed.test", 80, socket.AF_INET)
        assert (found["hostname"], found["host"], found["port"]) == ("Fixed.test", "127.0.0.1", 80)
        assert resolver.knows("Fixed.test")
    assert lookups == {"127.0.0.1": 1}
    assert await resolver.resolve("Fixed.test", 80, socket.AF_INET6) == []
