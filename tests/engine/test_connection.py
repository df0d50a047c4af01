"""What an answer costs beside its body, and whose answer it is."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace

import pytest

from gleanset.errors import FetchFailed, OutcomeError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.fetch.connection import REST
from gleanset.fetch.wire import Wire
from gleanset.types import Pace, Reason
from tests.engine.crawling import picture
from tests.engine.hostile import Asked, Handler, Hostile, dripping, in_packets, in_turn, redirect, reply, status

OPTIONS = FetchOptions(
    allow_private=True,
    own_hosts=frozenset({"127.0.0.1"}),  # no robots.txt, no opt-outs, no pace: what follows is about the wire alone
    back_off=0.005,
    read_timeout=5,
    total_timeout=20,
    max_bytes=10_000_000,
)
SOON = 10  # seconds, on a busy machine; everything here would else last until the total timeout
LITTLE = 3  # seconds of the processor
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GZIPPED = HEAD + b"Content-Encoding: gzip\r\n\r\n"


def wary() -> Fetcher:
    """Asks at once, as of an own host, and trusts its connections as little as those of any other."""
    return Fetcher(OPTIONS, wire=Wire(replace(OPTIONS, own_hosts=frozenset())))


async def failure(answer: bytes | Handler, options: FetchOptions = OPTIONS) -> tuple[Reason, int]:
    """Why a GET fails, which it does soon, and how often it was tried."""
    async with Hostile({"/": answer}) as server, Fetcher(options) as fetcher:
        began = time.monotonic()
        with pytest.raises(OutcomeError) as caught:
            await fetcher.get(server.url())
        assert time.monotonic() - began < SOON
        return caught.value.reason, len(server.asked)


@pytest.mark.parametrize(
    "packets",
    [
        (CHUNKED, b"zz\r\nabc"),
        (CHUNKED, b"3\r\nabc\r\n", b"zz\r\nabc"),
        (CHUNKED + b"3\r\nabc\r\n", b"3\r\nabcdef\r\n"),
        (CHUNKED + b"3\r\nabc\r\n0\r\n", b"no colon here\r\n\r\n"),
        (CHUNKED + b"3\r\nabc\r\n0\r\n", b"X: " + b"a" * 9_000),
        (HEAD + b"Content-Encoding: deflate\r\nContent-Length: 2\r\n\r\n", b"\x78\x9c"),
    ],
    ids=["first chunk", "second chunk", "end of a chunk", "trailer", "long trailer", "deflate cut short"],
)
async def test_what_is_invalid_in_a_later_packet_is_told_at_once(packets: tuple[bytes, ...]) -> None:
    reason, tries = await failure(in_packets(*packets))
    assert reason is (Reason.HEADERS_TOO_LARGE if len(packets[-1]) > 9_000 else Reason.BAD_RESPONSE)
    assert tries == 1


async def test_a_complete_answer_with_rubbish_behind_it_is_complete() -> None:
    answer = in_packets(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"rubbish", hold=False)
    async with Hostile({"/": answer}) as server, wary() as fetcher:
        assert [(await fetcher.get(server.url())).body for _ in range(5)] == [b"abc"] * 5


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("later", [False, True])
async def test_bad_compression_is_not_tried_again(encoding: str, later: bool) -> None:
    head = HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: 9\r\n\r\n".encode()
    answer = in_packets(head, b"not gzip!") if later else head + b"not gzip!"
    assert await failure(answer) == (Reason.BAD_RESPONSE, 1)


FLOODS = {
    "interim answers": dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000),
    "interim answers with headers": dripping(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1_000),
    "chunk extension": dripping(CHUNKED + b"1;", b"a" * 50_000),
    "chunk extensions": dripping(CHUNKED, (b"1;" + b"a" * 1_000 + b"\r\na\r\n") * 50),
    "tiny chunks": dripping(CHUNKED, b"1\r\na\r\n" * 10_000),
    "zeros before a chunk size": dripping(CHUNKED, b"0" * 50_000),
    "empty members of gzip": dripping(GZIPPED, gzip.compress(b"") * 1_000),
    "few empty members of gzip at a time": dripping(GZIPPED, gzip.compress(b"") * 100),
    "empty blocks of deflate": dripping(GZIPPED + gzip.compress(b"")[:10], b"\0\0\0\xff\xff" * 10_000),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_anything_but_body_ends_soon(name: str) -> None:
    began = time.process_time()
    assert await failure(FLOODS[name]) == (Reason.BAD_RESPONSE, 1)
    assert time.process_time() - began < LITTLE


async def test_wasteful_answers_pass() -> None:
    """A chunk a kilobyte, or tiny ones of a small picture, are what clumsy servers send."""
    large, small = bytes(range(256)) * 20_000, picture()
    async with Hostile() as server, Fetcher(OPTIONS) as fetcher:
        for body, size in ((large, 1_024), (small, 1)):
            pieces = (body[at : at + size] for at in range(0, len(body), size))
            server.answers["/"] = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
            assert (await fetcher.get(server.url())).body == body


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (404, Reason.NOT_FOUND),
        (410, Reason.NOT_FOUND),
        (403, Reason.FORBIDDEN),
        (418, Reason.HTTP_STATUS),
        (501, Reason.SERVER_ERROR),
    ],
)
async def test_the_page_of_an_error_is_not_read(code: int, reason: Reason) -> None:
    head = b"HTTP/1.1 %d No\r\n" % code
    endings = [
        dripping(head + b"\r\n", bytes(100_000)),
        dripping(head + b"\r\n", b"a", 0.1),
        in_packets(head + b"Content-Length: 99999999999\r\n\r\n"),
        in_packets(head + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n"),
        head + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
        head + b"Content-Length: 99\r\n\r\ncut",
    ]
    for answer in endings:
        assert await failure(answer) == (reason, 1)


async def test_what_an_error_says_is_cut() -> None:
    head = b"HTTP/1.1 400 Bad Request\r\n"
    patient = replace(OPTIONS, read_timeout=0.2)
    async with Hostile({"/": dripping(head + b"\r\n", b"why " * 1_000)}) as server, Fetcher(patient) as fetcher:
        response = await fetcher.request(server.url())
        assert (response.status, response.body) == (400, b"why " * 16_384)
        for ending in (
            b"Content-Length: 99\r\n\r\nbroken off",
            b"Transfer-Encoding: chunked\r\n\r\na\r\nbroken off\r\nzz",
        ):
            for answer in (head + ending, in_packets(head, ending)):
                server.answers["/"] = answer
                with suppress(FetchFailed):  # invalid in the packet of its head, so that there is no answer at all
                    response = await fetcher.request(server.url())
                    assert (response.status, response.body) == (400, b"broken off")


async def test_redirects_and_retries_share_their_time() -> None:
    """Each answer alone is within the limit."""

    def after(seconds: float, answer: bytes) -> Handler:
        async def slowly(_: Asked, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(seconds)
            writer.write(answer)

        return slowly

    answers = {f"/{n}": after(0.2, redirect(f"/{n + 1}")) for n in range(5)} | {"/5": after(0.2, reply())}
    failing = {"/fails": after(0.4, status(503))}
    async with Hostile(answers | failing) as server:
        async with Fetcher(replace(OPTIONS, total_timeout=3)) as fetcher:
            assert (await fetcher.get(server.url("/0"))).body == b"picture"
        async with Fetcher(replace(OPTIONS, total_timeout=0.7)) as fetcher:
            for path in ("/0", "/fails"):
                began = time.monotonic()
                with pytest.raises(FetchFailed) as caught:
                    await fetcher.get(server.url(path))
                assert caught.value.reason is Reason.TIMEOUT
                assert 0.6 < time.monotonic() - began < SOON


async def test_the_wait_for_a_retry_takes_no_time_off() -> None:
    hurried = replace(OPTIONS, total_timeout=0.5)
    answers = in_turn(status(503, "Retry-After: 1"), reply())
    async with Hostile({"/": answers}) as server, Fetcher(hurried) as fetcher:
        assert (await fetcher.get(server.url())).body == b"picture"


async def test_a_request_that_breaks_off_is_sent_again_at_the_pace_of_the_host_only() -> None:
    came: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError, EOFError):
            while b"/picture" not in await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer_with(b""))  # the connection is kept for the picture
            came.append(time.monotonic())

    options = replace(OPTIONS, own_hosts=frozenset(), pace=Pace(1, 0.4), attempts=3)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Fetcher(options) as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/picture")
    assert caught.value.reason is Reason.CONNECTION
    gaps = [after - before for before, after in itertools.pairwise(came)]
    assert len(gaps) == 2
    assert min(gaps) > 0.3, gaps


# ------------------------------------------------------------------------------------------------------- whose answer

Extra = Callable[[asyncio.StreamWriter], None]
WRONG = picture(1_000)


def answer_with(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def keeping_alive(bodies: dict[str, bytes], extra: Extra) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that answers many requests on a connection, and does something `extra` after each answer.

    Gives where it is, and the connections it saw.
    """
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        with suppress(OSError, EOFError):
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
                writer.write(answer_with(bodies[path]))
                extra(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections


class Later:
    """Sends something after a while, but not so late that it would fall into the time after the rest.

    A machine with too much to do may call too late.
    """

    def __init__(self, seconds: Iterable[float], what: bytes) -> None:
        self.sent = 0
        self._what = what
        self._delays = itertools.cycle(seconds)

    def __call__(self, writer: asyncio.StreamWriter) -> None:
        delay, began = next(self._delays), time.monotonic()
        if delay == 0:
            self._send(writer, began)
        else:
            asyncio.get_running_loop().call_later(delay, self._send, writer, began)

    def _send(self, writer: asyncio.StreamWriter, began: float) -> None:
        if time.monotonic() - began < 0.8 * REST:
            writer.write(self._what)
            self.sent += 1


MILLISECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05)


@pytest.mark.parametrize(
    "delays", [(0,), *((d,) for d in MILLISECONDS), MILLISECONDS[::-1]], ids=lambda delays: f"{len(delays)} {delays[0]}"
)
@pytest.mark.parametrize("pause", [0, 0.003])
async def test_an_answer_too_many_answers_nothing(delays: tuple[float, ...], pause: float) -> None:
    bodies = {f"/{n}": picture(n) for n in range(200)}
    extra = Later(delays, answer_with(WRONG))
    async with keeping_alive(bodies, extra) as (url, _), wary() as fetcher:
        for path, body in bodies.items():
            assert (await fetcher.get(url + path)).body == body
            await asyncio.sleep(pause)
    assert extra.sent > 0


async def test_an_answer_too_many_in_the_packet_that_ends_the_one_before() -> None:
    """aiohttp has given the connection back when it sees what else is in the packet."""
    bodies = {f"/{n}": picture(n) for n in range(20)}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError, EOFError):
            while True:
                body = bodies[(await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()]
                writer.write(answer_with(body)[:1_000])
                await asyncio.sleep(0.02)
                writer.write(answer_with(body)[1_000:] + answer_with(WRONG))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, wary() as fetcher:
        for path, body in bodies.items():
            assert (await fetcher.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}")).body == body
            await asyncio.sleep(1.5 * REST)


class Aside:
    """A server in threads of its own, which goes on while the event loop stands still. Each answer is sent twice."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            while client.recv(10_000):
                client.sendall(answer_with(self.body))
                time.sleep(0.02)
                client.sendall(answer_with(self.body))


async def test_an_answer_too_many_that_comes_while_nobody_looks() -> None:
    """The event loop is busy: the bytes wait in the socket when the connection is wanted again."""
    with closing(Aside(b"")) as server:
        async with wary() as fetcher:
            for body in (picture(n) for n in range(5)):
                server.body = body
                assert (await fetcher.get(server.url)).body == body
                time.sleep(0.2)  # this is the busy loop


async def test_a_sound_connection_is_used_again() -> None:
    bodies = {f"/{n}": picture(n) for n in range(20)}
    async with keeping_alive(bodies, lambda _: None) as (url, connections), wary() as fetcher:
        for path, body in bodies.items():
            assert (await fetcher.get(url + path)).body == body
            await asyncio.sleep(1.5 * REST)
        assert len(connections) == 1


async def test_a_host_that_spoke_out_of_turn_gets_a_connection_a_request() -> None:
    bodies = {f"/{n}": picture(n) for n in range(10)}
    spoke = asyncio.Event()

    def once(writer: asyncio.StreamWriter) -> None:
        if not spoke.is_set():
            writer.write(answer_with(WRONG))
            spoke.set()

    def soon(writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_later(0.01, once, writer)

    async with keeping_alive(bodies, soon) as (url, connections), wary() as fetcher:
        for path, body in bodies.items():
            assert (await fetcher.get(url + path)).body == body
            await spoke.wait()
            await asyncio.sleep(1.5 * REST)
        assert len(connections) == 10
