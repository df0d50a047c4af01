"""Thousands of hosts in one thread: a server on all of 127.0.0.0/8 that misbehaves as told and watches its visitors."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from tests.loops import running_loop
from tests.web import picture
from tests.week.fates import CALM, host_at, kind

PICTURES = 300
BUSY_FOR = 1
_LATE = 0.15  # seconds an answer of every other host: with it a host meets its limit at once, without its interval
_PAGE = b"<!doctype html><html><title>Sorry</title><p>This picture has moved.</html>"
_RESET = struct.pack("ii", 1, 0)


class Site:
    """One host and what was seen of its visitors.

    most: requests at once. ahead: seconds before which a request came, by the pace of all before it. hasty: requests
    within a Retry-After, of the one that had most. asked: how often each path was.
    """

    __slots__ = ("ahead", "asked", "busy", "due", "hasty", "interval", "kind", "late", "most", "quiet", "quiet_until")

    def __init__(self, host: int, interval: float) -> None:
        self.kind = kind(host)
        self.late = _LATE if host % 2 else 0.0
        self.interval = interval
        self.asked = Counter[str]()
        self.busy = set[Visitor]()
        self.most = self.hasty = self.quiet = 0
        self.ahead = self.due = self.quiet_until = 0.0

    def begins(self, visitor: Visitor, now: float) -> None:
        self.busy.add(visitor)
        if len(self.busy) > self.most:
            self.busy = {other for other in self.busy if not other.has_gone()}
            self.most = max(self.most, len(self.busy))
        self.ahead = max(self.ahead, self.due - now)
        self.due = max(self.due, now) + self.interval
        if now < self.quiet_until:
            self.quiet += 1
            self.hasty = max(self.hasty, self.quiet)


class Visitor(asyncio.Protocol):
    """One connection."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._site = self._web.site(transport.get_extra_info("sockname")[0])
        self._web.visitors.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._site.busy.discard(self)
        self._web.visitors.discard(self)

    def end(self) -> None:
        self._transport.abort()

    def has_gone(self) -> bool:
        """Whether the other end has closed, though this loop has not come to hear of it."""
        if self._transport.is_closing():
            return True
        try:
            seen = socket.fromfd(self._transport.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM)
            with seen:
                return seen.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._buffer.endswith(b"\r\n\r\n"):
            return
        path = self._buffer.split(b" ", 2)[1].decode()
        self._buffer = b""
        site = self._site
        site.begins(self, self._loop.time())
        site.asked[path] += 1
        if site.kind == "silent":
            return
        if path.endswith("/tdmrep.json"):
            self._answer(404)
            if site.kind == "calm":
                site.interval = self._web.calm
        elif path == "/robots.txt":
            self._rules()
        elif site.late:
            self._loop.call_later(site.late, self._picture, path)
        else:
            self._picture(path)

    def _rules(self) -> None:
        match self._site.kind:
            case "closed":
                self._answer(200, b"User-agent: *\nDisallow: /\n")
            case "ruleless":
                self._answer(503)
            case "calm":
                self._answer(200, f"User-agent: *\nCrawl-delay: {self._web.calm}\n".encode())
            case _:
                self._answer(404)

    def _picture(self, path: str) -> None:
        _, fate, name = path.split("/")
        first = self._site.asked[path] == 1
        body = self._web.pictures[int(name.removesuffix(".jpg")) % PICTURES]
        match fate:
            case "missing":
                self._answer(404)
            case "forbidden":
                self._answer(403)
            case "page":
                self._answer(200, _PAGE)
            case "cut":
                self._answer(200, body[: len(body) // 2])
            case "broken":
                self._answer(500)
            case "stumble" if first:
                self._answer(500)
            case "busy" if first:
                self._site.quiet_until, self._site.quiet = self._loop.time() + BUSY_FOR, 0
                self._answer(429, b"", f"Retry-After: {BUSY_FOR}\r\n")
            case "short":
                self._answer(200, body[:-100], length=len(body), last=True)
            case "slam" if first:
                self._reset()
            case "hang":
                pass
            case "slow":
                self._answer(200, body[:500], length=len(body), done=False)
                self._loop.call_later(1.0, self._rest, body[500:])
            case _:
                self._answer(200, body)

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        headers: str = "",
        *,
        length: int | None = None,
        last: bool = False,
        done: bool = True,
    ) -> None:
        if self._transport.is_closing():
            return
        last = last or self._site.kind == "curt"
        if last:
            headers += "Connection: close\r\n"
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{headers}"
        self._transport.write(
            f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body
        )
        if done:
            self._site.busy.discard(self)
            if last:
                self._transport.close()

    def _rest(self, body: bytes) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(body)
        self._site.busy.discard(self)
        if self._site.kind == "curt":
            self._transport.close()

    def _reset(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._site.busy.discard(self)
        self._transport.abort()


class Web:
    """All hosts. `interval`: what they expect between two requests."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.calm = CALM * interval
        self.sites: dict[str, Site] = {}
        self.visitors = set[Visitor]()
        self.pictures = [picture(number) for number in range(PICTURES)]
        self.port = self.dead_port = 0

    def site(self, address: str) -> Site:
        if address not in self.sites:
            self.sites[address] = Site(host_at(address), self._interval)
        return self.sites[address]

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serves from a thread while the block lasts; nobody ever listens at `dead_port`."""
        with running_loop() as loop, socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))
            self.dead_port = dead.getsockname()[1]
            start = loop.create_server(lambda: Visitor(self), "0.0.0.0", 0, backlog=4096)
            server = asyncio.run_coroutine_threadsafe(start, loop).result()
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield
            finally:
                asyncio.run_coroutine_threadsafe(self._close(server), loop).result()

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        for visitor in list(self.visitors):
            visitor.end()
        await asyncio.sleep(0)
