"""Keys: told of when they are missing, sent to their service only, and shown nowhere."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources import SOURCES, SourceOptions, open_source
from gleanset.sources.throttle import exhausted_for
from gleanset.types import Query
from tests.engine.sources.fake_flickr import FakeFlickr
from tests.engine.sources.fake_flickr import photo as flickr_photo
from tests.engine.sources.fake_keyed import KEY, FakeKeyed
from tests.engine.sources.fake_pexels import FakePexels
from tests.engine.sources.fake_pexels import photo as pexels_photo
from tests.engine.sources.fake_pixabay import FakePixabay, hit
from tests.engine.sources.reading import read
from tests.engine.sources.serving import Served

KEYED = ("flickr", "pexels", "pixabay")
SHOWN = re.compile(r"s3cret|0123", re.IGNORECASE)
"""The parts of the key that no escaping changes."""


def fake_of(name: str) -> FakeKeyed:
    if name == "flickr":
        return FakeFlickr([flickr_photo(number) for number in range(1100)])
    if name == "pexels":
        return FakePexels([pexels_photo(number) for number in range(200)])
    return FakePixabay([hit(number) for number in range(450)])


async def ask(name: str, http: Fetcher, url: str) -> Any:
    options = SourceOptions(urls={name: url}, keys={name: f" {KEY}\n"})
    return await read(open_source(name, http, options), Query(source=name, label="x", keyword="x"))


async def failure(name: str, http: Fetcher, url: str) -> SourceError:
    """The error that asking ends with, which shows the key nowhere: not in a log of it either."""
    with pytest.raises(SourceError) as caught:
        await ask(name, http, url)
    assert not SHOWN.search("".join(traceback.format_exception(caught.value)))
    return caught.value


@asynccontextmanager
async def raw(answer: bytes) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A server that gives these bytes to every request; its address and what was asked of it."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api", asked


def test_the_sources_that_need_a_key_say_so() -> None:
    assert tuple(name for name, info in SOURCES.items() if info.key) == KEYED


@pytest.mark.parametrize("name", KEYED)
@pytest.mark.parametrize("keys", [{}, {"openverse": KEY}, {"flickr": " ", "pexels": "", "pixabay": "\n"}])
def test_a_missing_key_is_told_with_what_to_do(http: Fetcher, name: str, keys: dict[str, str]) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(name, http, SourceOptions(keys=keys))
    places = {
        "flickr": "Flickr needs a key of your own, from https://www.flickr.com/services/apps/create/.",
        "pexels": "Pexels needs a key of your own, from https://www.pexels.com/api/.",
        "pixabay": "Pixabay needs a key of your own, from https://pixabay.com/api/docs/.",
    }
    assert str(caught.value) == f"""{places[name]} Set it as GLEANSET_SOURCE_KEYS='{{"{name}": "..."}}'"""
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "key", ["s3cret key", "s3cret\r\nX-Evil: 1", "s3cr\N{LATIN SMALL LETTER E WITH ACUTE}t", "s3cret\0"]
)
def test_a_key_that_is_none_is_refused_without_being_shown(http: Fetcher, key: str) -> None:
    with pytest.raises(SourceError, match="The key of Pexels holds characters that no key has") as caught:
        open_source("pexels", http, SourceOptions(keys={"pexels": key}))
    assert "s3cr" not in str(caught.value)


def test_options_do_not_show_keys() -> None:
    assert not SHOWN.search(repr(SourceOptions(keys={"flickr": KEY})))


@pytest.mark.parametrize("name", KEYED)
async def test_pages_and_cursors_have_no_key_in_them(http: Fetcher, name: str) -> None:
    async with fake_of(name) as fake:
        pages = await ask(name, http, fake.url)
    assert len(pages) == 3, "the key was sent, and taken"
    assert not SHOWN.search(repr(pages))


@pytest.mark.parametrize("name", KEYED)
@pytest.mark.parametrize(
    "answer",
    [
        b"this is not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[broken?key=" + KEY.encode() + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ftp://x/?key=" + KEY.encode() + b"\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
)
async def test_a_broken_answer_does_not_show_the_key(http: Fetcher, name: str, answer: bytes) -> None:
    async with raw(answer) as (url, asked):
        error = await failure(name, http, url)
    assert str(error).startswith(f"{SOURCES[name].title} cannot be reached: ")
    assert any(SHOWN.search(request.decode()) for request in asked), "the key was on its way"


@pytest.mark.parametrize("name", KEYED)
@pytest.mark.parametrize("spelt", [KEY, "s3cret%2Bkey%2F0123%3D%3D", "s3cret%2bkey/0123%3d%3d", "S3CRET+KEY/0123=="])
@pytest.mark.parametrize("status", [200, 400, 403, 404, 500, 429])
async def test_an_answer_that_repeats_the_key_is_told_without_it(
    http: Fetcher, name: str, spelt: str, status: int
) -> None:
    said = f"No such key: {spelt}, sorry"
    body = {"stat": "fail", "code": 100, "message": said, "detail": said, "error": said}
    async with fake_of(name) as fake:
        fake.broken = [(status, {"Retry-After": "3600"}, json.dumps(body).encode())] * 3
        if status == 200 and name != "flickr":
            assert (await ask(name, http, fake.url))[0].candidates == ()
            return
        error = await failure(name, http, fake.url)
    assert ("no more requests for the next 60 minutes" if status == 429 else "No such key: [key], sorry") in str(error)


class Elsewhere(Served):
    """Another host, which must not learn the key."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/{tail:.*}", self._listen)]

    async def _listen(self, request: web.Request) -> web.Response:
        self.heard.append(f"{request.raw_path} {sorted(request.headers.items())}")
        return web.Response(status=403, text="who are you?")


@pytest.mark.parametrize("name", KEYED)
async def test_a_redirect_does_not_take_the_key_along(http: Fetcher, name: str) -> None:
    async with Elsewhere() as elsewhere, fake_of(name) as fake:
        fake.broken = [(302, {"Location": f"{elsewhere.origin}/moved"}, b"")]
        error = await failure(name, http, fake.url)
    assert "does not let us ask this (403). who are you?." in str(error)
    assert len(elsewhere.heard) == 1
    assert not SHOWN.search(elsewhere.heard[0])


@pytest.mark.parametrize("name", KEYED)
async def test_a_service_that_is_away_does_not_show_the_key(http: Fetcher, name: str) -> None:
    async with raw(b"") as (url, _):
        gone = url
    error = await failure(name, http, gone)
    assert "cannot be reached: The connection was refused" in str(error)
    assert error.retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "37"}, None),
        ({"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "37"}, 37),
        ({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "0"}, 1),
        ({"X-RateLimit-Remaining": "0"}, 60),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, 60),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1000000001"}, 1),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9" * 400}, 31 * 86400),
        ({"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": "37"}, None),
        ({"X-RateLimit-Reset": "37"}, None),
        (
            {
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": "5",
                "X-RateLimit-Available-burst": "0",
                "X-RateLimit-Limit-burst": "20/min",
            },
            60,
        ),
    ],
)
def test_what_headers_say_of_the_throttle(headers: dict[str, str], seconds: float | None) -> None:
    assert exhausted_for(headers) == seconds
