"""A web of small pictures for tests that need time: served from a thread, slowly if wanted, with errors among them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO

import numpy as np
from aiohttp import web
from PIL import Image

from tests.loops import running_loop


@lru_cache(maxsize=4096)
def picture(number: int) -> bytes:
    """A small JPEG that no other number has."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(blocks).resize((128, 96)).save(file, "JPEG")
    return file.getvalue()


class PictureWeb:
    """`/N.jpg` is picture N; every 7th is missing and every 11th an HTML page. `delay` is seconds an answer.

    `pages` are HTML by path, or text where that ends so; `page_delay` is seconds a page.
    """

    def __init__(self, delay: float = 0.0, pages: dict[str, str] | None = None) -> None:
        self.delay = delay
        self.page_delay = 0.0
        self.pages = pages or {}
        self.asked: Counter[str] = Counter()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """What one request gets."""
        self.asked[request.path] += 1
        await asyncio.sleep(self.delay)
        number = int(request.match_info["number"])
        match expected(number):
            case "not_found":
                return web.Response(status=404)
            case "not_an_image":
                return web.Response(text="<html><title>Sorry</title></html>", content_type="text/html")
            case _:
                return web.Response(body=picture(number), content_type="image/jpeg")

    async def rules(self, request: web.Request) -> web.StreamResponse:
        """The answer for robots.txt."""
        raise web.HTTPNotFound

    async def _page(self, request: web.Request) -> web.Response:
        self.asked[request.path] += 1
        await asyncio.sleep(self.page_delay)
        text = self.pages.get(request.path)
        kind = "text/plain" if request.path.endswith(".txt") else "text/html"
        return web.Response(status=404) if text is None else web.Response(text=text, content_type=kind)

    @contextmanager
    def served(self) -> Iterator[str]:
        """The address while the block lasts."""

        async def start() -> web.AppRunner:
            app = web.Application()
            app.router.add_get(r"/{number:\d+}.jpg", self.answer)
            app.router.add_get("/robots.txt", self.rules)
            app.router.add_get("/{path:.*}", self._page)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return runner

        with running_loop() as loop:
            runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self.url
            finally:
                asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()


class ChangingWeb(PictureWeb):
    """Knows ETags, counts the pictures that it sends, and lets a test change what it has.

    `versions`: the picture that stands for a number now. `statuses`: other answers than the picture. `said`: headers.
    """

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__(delay)
        self.sent: Counter[int] = Counter()
        self.versions: dict[int, int] = {}
        self.statuses: dict[int, int] = {}
        self.said: dict[int, dict[str, str]] = {}
        self.robots = "User-agent: *\nAllow: /\n"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        if number not in self.statuses and expected(number) is not None:
            return await super().answer(request)
        self.asked[request.path] += 1
        await asyncio.sleep(self.delay)
        if number in self.statuses:
            return web.Response(status=self.statuses[number])
        body = picture(self.versions.get(number, number))
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', **self.said.get(number, {})}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        self.sent[number] += 1
        return web.Response(body=body, content_type="image/jpeg", headers=headers)

    async def rules(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self.robots)


def expected(number: int) -> str | None:
    """The reason code that picture `number` must end with, or None when it can be had."""
    if number % 7 == 0:
        return "not_found"
    return "not_an_image" if number % 11 == 0 else None


def sha256_of(number: int) -> str:
    return hashlib.sha256(picture(number)).hexdigest()
