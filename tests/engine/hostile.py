"""A web server that misbehaves on purpose: raw bytes on loopback sockets, and a count of everything that reached it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from aiohttp.abc import AbstractResolver, ResolveResult


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in; header names in lower case."""

    path: str
    headers: dict[str, str]
    at: float


Handler = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


SITE_FILES = ("/robots.txt", "/.well-known/tdmrep.json")


@dataclass
class Hostile:
    """Answers of raw bytes, or of functions that write what and when they like. The connection then closes.

    Files of rules that a test does not speak of are missing, and asking for them does not count.
    """

    answers: dict[str, bytes | Handler] = field(default_factory=dict, repr=False)  # they may be huge
    tls: ssl.SSLContext | None = None
    connections: int = 0
    asked: list[Asked] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls, limit=1 << 18)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http{'s' if self.tls else ''}://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.create_task(self._answer(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, asyncio.LimitOverrunError), closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            asked = Asked(head[0].split(" ")[1], {k.lower(): v for k, v in pairs}, asyncio.get_running_loop().time())
            if asked.path in SITE_FILES and asked.path not in self.answers:
                writer.write(status(404))
                return
            self.asked.append(asked)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            try:
                answer = self.answers.get(asked.path, status(404))
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(asked, writer)
            finally:
                self.busy -= 1


def reply(body: bytes = b"picture", *headers: str, code: int = 200) -> bytes:
    """A well-formed answer."""
    lines = [f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def status(code: int, *headers: str) -> bytes:
    return reply(b"an error page", *headers, code=code)


def redirect(location: str, code: int = 302) -> bytes:
    return status(code, f"Location: {location}")


def in_turn(*answers: bytes) -> Handler:
    """The answers one after the other; the last one stays."""
    left = list(answers)

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return answer


def dripping(head: bytes, drop: bytes, every: float = 0.0) -> Handler:
    """`head`, and then `drop` for ever, until the other side hangs up."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(every)

    return answer


def in_packets(*packets: bytes, hold: bool = True) -> Handler:
    """Some bytes, 20 ms later some more, and then nothing: the connection stays open."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        for packet in packets:
            writer.write(packet)
            await asyncio.sleep(0.02)
        if hold:
            await asyncio.sleep(60)

    return answer


def cut_off(sent: bytes) -> Handler:
    """`sent`, and then a reset instead of an orderly end."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.transport.abort()

    return answer


def reset(sent: bytes) -> Handler:
    """`sent`, and then a TCP reset whatever is still under way."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.02)
        now = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        writer.transport.abort()

    return answer


class Rebinding(AbstractResolver):
    """A name server whose answer changes from question to question, as an attacker's does; the last one stays."""

    def __init__(self, *addresses: str) -> None:
        self._left = list(addresses)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        address = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        flags = socket.AI_NUMERICHOST
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)]

    async def close(self) -> None:
        pass


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """A server's TLS with a fresh self-signed certificate for `name`, made by OpenSSL's own command."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*make, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
