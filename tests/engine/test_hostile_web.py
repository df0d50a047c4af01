"""A web of nothing but trouble, crawled as a whole: every URL is accounted for, once, soon, and in bounded memory."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import gzip
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest
from yarl import URL

from gleanset.crawl import CrawlOptions, crawl
from gleanset.decoders import Decoders
from gleanset.errors import FetchFailed, ImageRefused
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.fetch.address import AddrInfo, guarded_socket, is_public
from gleanset.fetch.wire import Wire
from gleanset.gather import Gatherer
from gleanset.inspect import InspectLimits
from gleanset.store import Store
from gleanset.types import Downloaded, Outcome, Pace, Reason
from tests.engine.crawling import all_of, listed, nothing_known, picture
from tests.engine.hostile import (
    Asked,
    Handler,
    Hostile,
    Rebinding,
    certificate,
    dripping,
    in_packets,
    in_turn,
    redirect,
    reply,
    reset,
    status,
)
from tests.engine.hostile_pictures import ACCEPTED, REFUSED

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as outside of tests, where they are ignored

OK = "ok"
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = picture(1)
OPTIONS = FetchOptions(
    allow_private=True,
    pace=Pace(64),
    attempts=2,
    back_off=0.005,
    read_timeout=3,
    total_timeout=10,
    max_bytes=5_000_000,
    max_retry_after=2.5,
    hosts={"wrong.test": "127.0.0.1"},
)


async def silent(_: Asked, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def zipped(body: bytes, *headers: str) -> bytes:
    return reply(body, "Content-Encoding: gzip", *headers)


NO_ANSWER = (Reason.CONNECTION, Reason.TIMEOUT)

SLOW = ("no answer", "slow headers", "slow body", "slow chunks", "slow interim answers")

ANSWERS: dict[str, tuple[bytes | Handler, str]] = {
    "no answer": (silent, Reason.TIMEOUT),
    "slow headers": (dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", 0.1), Reason.TIMEOUT),
    "slow body": (dripping(HEAD + b"Content-Length: 9999\r\n\r\n", b"a", 0.1), Reason.TIMEOUT),
    "slow chunks": (dripping(CHUNKED, b"1\r\na\r\n", 0.1), Reason.TIMEOUT),
    "slow interim answers": (dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.1), Reason.TIMEOUT),
    "a hundred interim answers": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100 + reply(GOOD), OK),
    "another protocol": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        Reason.HTTP_STATUS,
    ),
    "endless body": (dripping(HEAD + b"\r\n", bytes(100_000)), Reason.TOO_LARGE),
    "endless chunks": (dripping(CHUNKED, b"10000\r\n" + bytes(65_536) + b"\r\n"), Reason.TOO_LARGE),
    "endless interim answers": (dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500), Reason.BAD_RESPONSE),
    "endless chunk extension": (dripping(CHUNKED + b"1;", b"a" * 9_000), Reason.BAD_RESPONSE),
    "endless trailers": (dripping(CHUNKED + b"3\r\nabc\r\n0\r\n", b"X: a\r\n" * 500), Reason.HEADERS_TOO_LARGE),
    "endless trailer": (dripping(CHUNKED + b"3\r\nabc\r\n0\r\nX: ", b"a" * 9_000), Reason.HEADERS_TOO_LARGE),
    "endless status line": (dripping(b"HTTP/1.1 200 ", b"a" * 9_000), Reason.HEADERS_TOO_LARGE),
    "endless header": (dripping(b"HTTP/1.1 200 OK\r\nX: ", b"a" * 9_000), Reason.HEADERS_TOO_LARGE),
    "endless headers": (dripping(b"HTTP/1.1 200 OK\r\n", b"X: a\r\n" * 500), Reason.HEADERS_TOO_LARGE),
    "huge header": (reply(GOOD, "X: " + "a" * 100_000), Reason.HEADERS_TOO_LARGE),
    "large header": (reply(GOOD, "X: " + "a" * 7_000), OK),
    "announces less": (HEAD + b"Content-Length: 40\r\n\r\n" + GOOD[:40], Reason.TRUNCATED),
    "announces more": (HEAD + b"Content-Length: 99999\r\n\r\n" + GOOD, Reason.CONNECTION),
    "announces far more": (HEAD + b"Content-Length: 99999999999\r\n\r\n" + GOOD, Reason.TOO_LARGE),
    "announces and chunks": (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", Reason.BAD_RESPONSE),
    "chunk of no number": (CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n", Reason.BAD_RESPONSE),
    "chunk of no number, later": (in_packets(CHUNKED, b"zz\r\nabc"), Reason.BAD_RESPONSE),
    "chunk cut short": (CHUNKED + b"50\r\n" + GOOD[:40], Reason.CONNECTION),
    "chunk of all memory": (CHUNKED + b"FFFFFFFFFFFFFFFF\r\n" + GOOD, Reason.CONNECTION),
    "reset at once": (reset(b""), Reason.CONNECTION),
    "reset in the header": (reset(b"HTTP/1.1 200 OK\r\nContent-Le"), Reason.CONNECTION),
    "reset in the body": (reset(HEAD + b"Content-Length: 9999\r\n\r\n" + GOOD[:99]), Reason.CONNECTION),
    "reset between chunks": (reset(CHUNKED + b"5\r\nabcde\r\n"), Reason.CONNECTION),
    "closed at once": (b"", Reason.CONNECTION),
    "closed in the header": (b"HTTP/1.1 200 OK\r\nContent-Le", Reason.CONNECTION),
    "closed in an unannounced body": (HEAD + b"\r\n" + GOOD[:99], Reason.TRUNCATED),
    "bomb of gzip": (zipped(gzip.compress(bytes(100_000_000))), Reason.TOO_LARGE),
    "bomb of gzip and picture": (zipped(gzip.compress(GOOD + bytes(100_000_000))), Reason.TOO_LARGE),
    "gzip": (zipped(gzip.compress(GOOD)), OK),
    "gzip in members": (zipped(gzip.compress(GOOD[:99]) + gzip.compress(GOOD[99:])), OK),
    "gzip cut short": (zipped(gzip.compress(GOOD)[:-99]), Reason.TRUNCATED),
    "gzip that is none": (zipped(GOOD), Reason.BAD_RESPONSE),
    "gzip within gzip": (zipped(gzip.compress(gzip.compress(GOOD))), Reason.NOT_AN_IMAGE),
    "brotli, not asked for": (reply(GOOD, "Content-Encoding: br"), Reason.BAD_RESPONSE),
    "round itself": (redirect("round%20itself"), Reason.TOO_MANY_REDIRECTS),
    "into a file": (redirect("file:///etc/passwd"), Reason.BAD_URL),
    "to a URL that is too long": (redirect("/" + "a" * 100_000), Reason.HEADERS_TOO_LARGE),
    "with an endless page": (dripping(b"HTTP/1.1 302 Found\r\nLocation: /gzip\r\n\r\n", bytes(100_000)), OK),
    "not found": (status(404), Reason.NOT_FOUND),
    "not found, endlessly": (dripping(b"HTTP/1.1 404 Not Found\r\n\r\n", bytes(100_000)), Reason.NOT_FOUND),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", Reason.HTTP_STATUS),
    "empty": (reply(b""), Reason.EMPTY),
    "HTTP/0.9": (GOOD, Reason.BAD_RESPONSE),
    "HTTP/2": (b"\0\0\x12\x04\0\0\0\0\0" + bytes(18), Reason.BAD_RESPONSE),
    "page": (reply(b"<html>not a picture</html>"), Reason.NOT_AN_IMAGE),
    "картинка 🐈": (reply(GOOD), OK),
    "long" + "a" * 100_000: (reply(GOOD), OK),
    **{name: (reply(make()), reason) for name, (make, reason) in REFUSED.items()},
    **{name: (reply(make()), OK) for name, (make, _) in ACCEPTED.items()},
}


@dataclass
class Web:
    """Servers, and what is to come of each URL."""

    expected: dict[str, str] = field(repr=False)
    servers: list[Hostile]


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    async with AsyncExitStack() as open_:
        servers = [
            Hostile(),
            Hostile({"/": reply(GOOD)}, tls=certificate(tmp_path, "right.test")),
            # Hosts of their own: what is asked of one host quiets it as a whole.
            Hostile({"/": in_turn(status(429, "Retry-After: 1"), reply(GOOD))}),
            Hostile({"/": told_by_date(2)}),
            Hostile({"/": status(429, "Retry-After: 3600")}),
            Hostile({"/": status(429)}),
        ]
        for server in servers:
            await open_.enter_async_context(server)
        main, tls, seconds, date, hour, always = servers
        expected: dict[str, str] = {}
        for name, (answer, outcome) in ANSWERS.items():
            server = main
            if outcome in NO_ANSWER:  # five of these in a row, and the host is left alone
                servers.append(server := await open_.enter_async_context(Hostile()))
            url = server.url(f"/{name}")
            server.answers[URL(url).raw_path] = answer
            expected[url] = outcome
        async with Hostile() as gone:
            expected[gone.url()] = Reason.CONNECTION
        expected |= {
            tls.url(): Reason.TLS,
            tls.url(host="wrong.test"): Reason.TLS,
            seconds.url(): OK,
            date.url(): OK,
            hour.url(): Reason.RATE_LIMITED,
            always.url(): Reason.RATE_LIMITED,
            "http://user:secret@127.0.0.1/": Reason.BAD_URL,
            "file:///etc/passwd": Reason.BAD_URL,
            "http://\ud800/": Reason.BAD_URL,
            "http://no-such-host.invalid/": Reason.DNS,
        }
        yield Web(expected, servers)


def told_by_date(seconds: int) -> Handler:
    """429 with the HTTP date in so many seconds, and then the picture."""
    asked = 0

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        when = format_datetime(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds), usegmt=True)
        writer.write(status(429, f"Retry-After: {when}") if asked == 1 else reply(GOOD))

    return answer


async def crawled(fetcher: Fetcher, store: Store, urls: list[str]) -> list[Outcome]:
    pages = [urls[at : at + 50] for at in range(0, len(urls), 50)]
    with closing(Decoders(2)) as decoders:
        gather = Gatherer(fetcher, store, decoders, InspectLimits()).gather
        batches = await all_of(crawl(listed(pages), gather, nothing_known, CrawlOptions(window=256)))
    assert batches[-1].exhausted
    return [outcome for batch in batches for outcome in batch.outcomes]


def told(outcome: Outcome) -> str:
    return OK if isinstance(outcome, Downloaded) else outcome.reason


async def test_everything_at_once(web: Web, tmp_path: Path) -> None:
    """Three rounds; memory may grow in the first, where caches and pools fill."""
    process = psutil.Process()
    resident: list[int] = []
    store = Store(str(tmp_path / "blobs"))
    for _ in range(3):
        began = time.monotonic()
        async with Fetcher(OPTIONS) as fetcher:
            outcomes = await crawled(fetcher, store, list(web.expected))
        assert time.monotonic() - began < 45
        assert Counter(o.candidate.url for o in outcomes) == Counter(list(web.expected))
        assert {named(o.candidate.url): told(o) for o in outcomes} == {named(u): w for u, w in web.expected.items()}
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what glibc only keeps in reserve is no leak
        resident.append(process.memory_info().rss)
    assert resident[2] - resident[1] < 40_000_000, resident
    keys = {outcome.key for outcome in outcomes if isinstance(outcome, Downloaded)}
    assert {blob.key async for blobs in store.blobs() for blob in blobs} == keys


def named(url: str) -> str:
    return url if len(url) < 200 else url[:40] + f"... {len(url)}"


def towards(server: Hostile) -> int:
    """Connections that this process holds to the server, as a client."""
    return sum(bool(c.raddr) and c.raddr.port == server.port for c in psutil.Process().net_connections("tcp"))


async def test_no_connection_is_left_behind(tmp_path: Path) -> None:
    slow = {f"/{n}": ANSWERS[name][0] for n, name in enumerate(SLOW)}
    async with Hostile(slow) as server, Fetcher(OPTIONS) as fetcher:
        urls = [server.url(path) for path in slow]
        crawling = asyncio.create_task(crawled(fetcher, Store(str(tmp_path / "blobs")), urls))
        async with asyncio.timeout(10):
            while towards(server) < len(SLOW):
                await asyncio.sleep(0.01)
        assert {told(outcome) for outcome in await crawling} == {Reason.TIMEOUT}
        assert towards(server) == 0


async def test_a_crawl_of_a_page_that_leads_inside(tmp_path: Path) -> None:
    """The guard is on. The door stands for a public server: only its port gets past the guard."""
    async with Hostile({"/": reply(GOOD)}) as inside, Hostile() as door:
        names = {"private.test": "127.0.0.1", "link.test": "169.254.169.254", "own.test": "::1"}
        wanted = {
            door.url("/picture"): OK,
            **{door.url(f"/to/{name}"): str(Reason.PRIVATE_ADDRESS) for name in names},
            door.url("/to/localhost"): str(Reason.PRIVATE_ADDRESS),
            inside.url(): str(Reason.PRIVATE_ADDRESS),
            inside.url(host="private.test"): str(Reason.PRIVATE_ADDRESS),
        }
        door.answers["/picture"] = reply(GOOD)
        for name in (*names, "localhost"):
            door.answers[f"/to/{name}"] = redirect(inside.url(host=name))
        options = FetchOptions(ports=frozenset({door.port, inside.port}), hosts=names, back_off=0.005)
        async with Fetcher(options, wire=Wire(options, new_socket=behind(door))) as fetcher:
            outcomes = await crawled(fetcher, Store(str(tmp_path / "blobs")), list(wanted))
        assert {outcome.candidate.url: told(outcome) for outcome in outcomes} == wanted
        assert inside.connections == 0


def behind(door: Hostile) -> Callable[[AddrInfo], socket.socket]:
    """The guard, and one port that it lets through."""
    return lambda info: socket.socket(*info[:3]) if info[4][1] == door.port else guarded_socket(info)


@pytest.mark.parametrize("private", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254"])
async def test_a_name_that_changes_its_address_after_it_was_looked_at(
    private: str,
) -> None:
    resolver = Rebinding("93.184.216.34", private)
    looked_at = await resolver.resolve("rebind.test")
    assert is_public(ip_address(looked_at[0]["host"]))
    async with Hostile({"/": reply(GOOD)}) as inside:
        options = FetchOptions(ports=frozenset({inside.port}), back_off=0.005)
        async with Fetcher(options, wire=Wire(options, resolver)) as fetcher:
            with pytest.raises(ImageRefused) as caught:
                await fetcher.get(inside.url(host="rebind.test"))
        assert caught.value.reason is Reason.PRIVATE_ADDRESS
        assert resolver.asked == ["rebind.test", "rebind.test"]
        assert inside.connections == 0


async def test_a_name_that_changes_between_a_redirect_and_its_target() -> None:
    """The first answer is the door's, as seen from the redirect; every later one leads inside."""
    resolver = Rebinding("127.0.0.1", "127.0.0.2")
    async with Hostile({"/": reply(GOOD)}) as inside, Hostile() as door:
        door.answers["/"] = redirect(inside.url(host="rebind.test"))
        options = FetchOptions(ports=frozenset({door.port, inside.port}), back_off=0.005)
        async with Fetcher(options, wire=Wire(options, resolver, behind(door))) as fetcher:
            with pytest.raises(ImageRefused) as caught:
                await fetcher.get(door.url(host="rebind.test"))
        assert caught.value.reason is Reason.PRIVATE_ADDRESS
        assert (door.paths(), inside.connections) == (["/"], 0)


async def test_a_redirect_is_not_read_however_long_its_page() -> None:
    page = dripping(b"HTTP/1.1 302 Found\r\nLocation: /found\r\n\r\n", bytes(100_000))
    async with Hostile({"/": page, "/found": reply(GOOD)}) as server, Fetcher(replace(OPTIONS, max_bytes=9_999)) as one:
        assert (await one.get(server.url())).body == GOOD


async def test_a_reset_names_what_happened() -> None:
    async with Hostile({"/": reset(HEAD + b"Content-Length: 9999\r\n\r\nabc")}) as server, Fetcher(OPTIONS) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(server.url())
        assert caught.value.reason is Reason.CONNECTION
        assert "broke off" in caught.value.detail
        assert server.paths() == ["/"] * OPTIONS.attempts
