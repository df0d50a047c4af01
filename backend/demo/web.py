"""`DemoWeb`: one server on loopback that is six hosts, a search API among them, and misbehaves by plan."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from html import escape
from types import TracebackType
from typing import Self

from aiohttp import web

from backend.demo.openverse import OpenverseApi, attribution
from backend.demo.pictures import Picture, render
from backend.demo.plan import API, BUSY, HOSTS, PHOTOS, SLOW, SUBJECTS, Answer, Exhibit, exhibits, expected

_CHUNK = b"\xff\xd8\xff\xe0".ljust(65536, b"\0")
_OVERSIZED = 6 * 1024**3
_TYPES: Mapping[str, str] = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}


class DemoWeb:
    """Use as an async context manager; `openverse_url` needs a server that runs.

    `hosts` says where each name is, for a fetcher to resolve them; `max_images` is the number of all picture URLs.
    """

    def __init__(self) -> None:
        self._exhibits = exhibits()
        self._at = {(e.host, e.path): e for e in self._exhibits}
        self._moved = {(PHOTOS, e.path): e for e in self._exhibits if e.answer is Answer.REDIRECT}  # where they lead
        self._pages = {(e.host, e.page_path): e for e in self._exhibits}
        self._people = {(e.host, e.creator_path): e.creator for e in self._exhibits if e.creator}
        self._api = OpenverseApi(self._exhibits, self.url)
        self._drawn: dict[Picture, asyncio.Future[bytes]] = {}
        self._busy = True
        self._port = 0
        self.hosts: dict[str, str] = dict.fromkeys(HOSTS, "127.0.0.1")
        self.keywords: list[str] = list(SUBJECTS)
        self.max_images: int = len(self._exhibits)

    async def __aenter__(self) -> Self:
        self._painters = ThreadPoolExecutor(2, "demo-painter")
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        self._painters.shutdown(cancel_futures=True)  # waits for the picture in hand, some milliseconds

    @property
    def openverse_url(self) -> str:
        """The base of the search API, as the Openverse source takes it."""
        return self.url(API, "/v1/")

    def url(self, host: str, path: str) -> str:
        return f"http://{host}:{self._port}{path}"

    def expected(self) -> dict[str, int]:
        """What a right crawl of all keywords finds; see `plan.expected`."""
        return expected(self._exhibits)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        host, path = request.host.rpartition(":")[0] or request.host, request.path
        if host not in self.hosts:
            return web.Response(status=421, text="No such host here.")
        if path == "/robots.txt":
            return web.Response(text="User-agent: *\nAllow: /\n")
        if host == API:
            return self._api.answer(path, request.query)
        if exhibit := self._at.get((host, path)):
            return await self._show(exhibit, request)
        if exhibit := self._pages.get((host, path)):
            return _html(exhibit.title, _landing_page(exhibit))
        if name := self._people.get((host, path)):
            return _html(name, f"<p>Drawings by {escape(name)}.</p>")
        if exhibit := self._moved.get((host, path)):
            return await self._picture(exhibit)
        return web.Response(status=404, text="There is nothing here.")

    async def _show(self, exhibit: Exhibit, request: web.Request) -> web.StreamResponse:
        if exhibit.host == BUSY and self._busy:
            self._busy = False
            return web.Response(status=429, headers={"Retry-After": "1"}, text="Too many visitors, come again.")
        if exhibit.host == SLOW:  # 0.3 to 0.6 seconds, always the same for the same picture
            await asyncio.sleep(0.3 + zlib.crc32(exhibit.path.encode()) % 300 / 1000)
        answers: Mapping[Answer, Callable[[], Awaitable[web.StreamResponse]]] = {
            Answer.ENDLESS: lambda: _pour(request, None),
            Answer.OVERSIZED: lambda: _pour(request, _OVERSIZED),
            Answer.TRUNCATED: lambda: self._picture(exhibit, part=0.6),
            Answer.LYING: lambda: self._picture(exhibit, content_type="text/plain"),
        }
        if exhibit.answer in answers:
            return await answers[exhibit.answer]()
        return self._refusal(exhibit) or await self._picture(exhibit)

    def _refusal(self, exhibit: Exhibit) -> web.Response | None:
        """The answers that need no drawing."""
        match exhibit.answer:
            case Answer.REDIRECT:
                return web.Response(status=302, headers={"Location": self.url(PHOTOS, exhibit.path)})
            case Answer.PAGE:
                return _html("Moved", "<p>This picture is not here any more, but we are too polite to say 404.</p>")
            case Answer.EMPTY:
                return web.Response(content_type="image/jpeg")
            case Answer.BOMB:
                return web.Response(body=_bomb(), content_type="image/png")
            case Answer.MISSING | Answer.GONE | Answer.FORBIDDEN:
                status = {Answer.MISSING: 404, Answer.GONE: 410, Answer.FORBIDDEN: 403}[exhibit.answer]
                return web.Response(status=status, text="Not for you.")
            case _:
                return None

    async def _picture(self, exhibit: Exhibit, part: float = 1.0, content_type: str | None = None) -> web.Response:
        body = await self._bytes(exhibit.picture)
        content_type = content_type or _TYPES[exhibit.picture.format]
        return web.Response(body=body[: int(len(body) * part)], content_type=content_type)

    async def _bytes(self, picture: Picture) -> bytes:
        """Drawn at the first request, in a thread; a visitor who leaves does not stop it for the others."""
        if picture not in self._drawn:
            loop = asyncio.get_running_loop()
            self._drawn[picture] = asyncio.ensure_future(loop.run_in_executor(self._painters, render, picture))
        return await asyncio.shield(self._drawn[picture])


async def _pour(request: web.Request, length: int | None) -> web.StreamResponse:
    """A body that goes on until the visitor has had enough, always out of the same 64 KiB."""
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
    response.content_length = length
    await response.prepare(request)
    sent = 0
    try:
        while length is None or sent < length:
            chunk = _CHUNK if length is None else _CHUNK[: length - sent]
            await response.write(chunk)
            sent += len(chunk)
            await asyncio.sleep(0)  # a fast reader must not keep the loop from everybody else
    except ConnectionError:
        pass
    return response


def _bomb() -> bytes:
    """A PNG of a hundred bytes whose header claims 60,000 times 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    )


def _html(title: str, body: str) -> web.Response:
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><h1>{escape(title)}</h1>{body}"
    )
    return web.Response(text=text, content_type="text/html")


def _landing_page(exhibit: Exhibit) -> str:
    licence = exhibit.licence
    return (
        f'<p><img src="{escape(exhibit.path)}" alt="{escape(exhibit.title)}"></p><p>{escape(attribution(exhibit))}</p>'
        f'<p><a rel=license href="{escape(licence.url or "")}">{escape(licence.code)} {licence.version}</a></p>'
    )
