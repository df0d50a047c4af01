"""The demo's web over real sockets: its search, every kind of answer, and the promise of `expected()`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import aiohttp
import numpy as np
import pytest
from yarl import URL

from backend.demo.pictures import Picture, render
from backend.demo.plan import BUSY, SLOW, SUBJECTS, Answer, Exhibit, exhibits
from backend.demo.web import DemoWeb
from gleanset.errors import OutcomeError
from gleanset.fetch.client import Fetcher, FetchOptions
from gleanset.inspect import inspect
from gleanset.types import Inspection

FIELDS = """
    id title indexed_on foreign_landing_url url creator creator_url license license_version license_url provider source
    category filesize filetype tags attribution fields_matched mature height width thumbnail detail_url related_url
"""


class Visitor:
    """Asks the demo web by address, naming the host as a browser would."""

    def __init__(self, web: DemoWeb, session: aiohttp.ClientSession) -> None:
        self.web = web
        self._session = session

    def get(self, url: str, **params: Any) -> Any:
        target = URL(url).with_host("127.0.0.1")
        headers = {"Host": URL(url).authority}
        return self._session.get(target, params=params, headers=headers, allow_redirects=False)

    def see(self, exhibit: Exhibit) -> Any:
        return self.get(self.web.url(exhibit.host, exhibit.path))

    async def search(self, **params: Any) -> tuple[int, Any]:
        async with self.get(self.web.openverse_url + "images/", **params) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    async with DemoWeb() as web, aiohttp.ClientSession() as session:
        yield Visitor(web, session)


def one(answer: Answer, host: str | None = None) -> Exhibit:
    return next(e for e in exhibits() if e.answer is answer and host in {None, e.host})


async def test_search_finds_every_picture_once_page_by_page(visitor: Visitor) -> None:
    urls: list[str] = []
    for keyword in visitor.web.keywords:
        _, first = await visitor.search(q=keyword, page_size=20)
        pages = [first]
        for page in range(2, first["page_count"] + 1):
            pages.append((await visitor.search(q=keyword, page=page))[1])
        assert [page["page"] for page in pages] == list(range(1, first["page_count"] + 1))
        assert [len(page["results"]) for page in pages[:-1]] == [20] * (len(pages) - 1)
        found = [item for page in pages for item in page["results"]]
        assert len(found) == first["result_count"]
        assert all(set(item) == set(FIELDS.split()) for item in found)
        assert all(item["tags"][0]["name"] == keyword for item in found)
        urls += [item["url"] for item in found]
    assert len(urls) == len(set(urls)) == visitor.web.max_images
    assert {URL(url).host for url in urls} < set(visitor.web.hosts)


async def test_search_past_the_last_page_is_empty(visitor: Visitor) -> None:
    status, answer = await visitor.search(q="boat", page=12)
    assert (status, answer["results"]) == (200, [])
    assert (await visitor.search(q="submarine"))[1]["page_count"] == 0


@pytest.mark.parametrize(
    ("params", "status", "field"),
    [
        ({"page_size": 21}, 401, None),
        ({"page": 13}, 400, "page"),
        ({"page": 0}, 400, "page"),
        ({"page_size": "many"}, 400, "page_size"),
        ({"license": "by,mine"}, 400, "license"),
        ({"license_type": "free"}, 400, "license_type"),
        ({"extension": "exe"}, 400, "extension"),
        ({"source": "a", "excluded_source": "b"}, 400, "excluded_source"),
    ],
)
async def test_search_refuses_what_openverse_refuses(
    visitor: Visitor, params: dict[str, Any], status: int, field: str | None
) -> None:
    answered, body = await visitor.search(q="boat", **params)
    assert answered == status
    assert list(body.get("fields", {})) == ([field] if field else [])
    assert body["detail"]


async def test_search_filters(visitor: Visitor) -> None:
    async def all_of(name: str, **params: Any) -> set[Any]:
        _, body = await visitor.search(q="houses", **params)
        assert body["result_count"] > 0
        return {item[name] for item in body["results"]}

    assert await all_of("license", license="by,cc0") == {"by", "cc0"}
    assert not any("nc" in code for code in await all_of("license", license_type="commercial"))
    assert await all_of("filetype", extension="png") == {"png"}
    assert await all_of("source", source="demo_slow") == {"demo_slow"}
    assert "demo_photos" not in await all_of("source", excluded_source="demo_photos")
    _, wide = await visitor.search(q="house", aspect_ratio="wide")
    assert all(item["width"] > item["height"] for item in wide["results"])


async def test_search_throttles_as_its_headers_say(visitor: Visitor) -> None:
    url = visitor.web.openverse_url + "images/"
    async with visitor.get(url) as answer:
        assert answer.headers["X-RateLimit-Limit-anon_burst"] == "200/min"
        left = int(answer.headers["X-RateLimit-Available-anon_burst"])

    async def ask() -> tuple[int, int]:
        async with visitor.get(url, page_size=1) as answer:
            return answer.status, int(answer.headers["X-RateLimit-Available-anon_burst"])

    answers = await asyncio.gather(*(ask() for _ in range(left)))
    assert sorted(answers) == [(200, available) for available in range(left)]
    async with visitor.get(url) as answer:
        assert answer.status == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_every_link_of_an_item_leads_somewhere(visitor: Visitor) -> None:
    _, body = await visitor.search(q="sunset", page=2)
    item = next(item for item in body["results"] if item["creator"])
    async with visitor.get(item["foreign_landing_url"]) as page:
        assert page.content_type == "text/html"
        text = await page.text()
    assert item["title"] in text
    assert item["license_url"] in text
    async with visitor.get(item["creator_url"]) as page:
        assert page.status == 200
    async with visitor.get(item["detail_url"]) as detail:
        assert (await detail.json())["attribution"] == item["attribution"]
    async with visitor.get(item["related_url"]) as related:
        assert (await related.json())["results"]
    async with visitor.get(visitor.web.url("photos.demo.test", "/robots.txt")) as robots:
        assert "Allow: /" in await robots.text()


async def test_names_that_are_not_there(visitor: Visitor) -> None:
    async with visitor.get(visitor.web.url("elsewhere.test", "/")) as answer:
        assert answer.status == 421
    for path in ("/", "/people/nobody", one(Answer.PAGE).path):
        async with visitor.get(visitor.web.url("photos.demo.test", path)) as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("answer", "status", "content_type", "start"),
    [
        (Answer.LYING, 200, "text/plain", b"\xff\xd8\xff"),
        (Answer.TRUNCATED, 200, "image/jpeg", b"\xff\xd8\xff"),
        (Answer.PAGE, 200, "text/html", b"<!doctype html>"),
        (Answer.EMPTY, 200, "image/jpeg", b""),
        (Answer.BOMB, 200, "image/png", b"\x89PNG"),
        (Answer.MISSING, 404, "text/plain", b""),
        (Answer.GONE, 410, "text/plain", b""),
        (Answer.FORBIDDEN, 403, "text/plain", b""),
    ],
)
async def test_misbehaviour(visitor: Visitor, answer: Answer, status: int, content_type: str, start: bytes) -> None:
    async with visitor.see(one(answer)) as response:
        body = await response.read()
        assert (response.status, response.content_type) == (status, content_type)
        assert body.startswith(start)
        assert (answer is Answer.EMPTY) == (body == b"")


async def test_a_redirect_leads_to_its_picture_on_another_host(visitor: Visitor) -> None:
    exhibit = one(Answer.REDIRECT)
    async with visitor.see(exhibit) as response:
        assert response.status == 302
        location = response.headers["Location"]
    assert URL(location).host != exhibit.host
    async with visitor.get(location) as response:
        assert await response.read() == render(exhibit.picture)


async def test_the_busy_host_says_429_once(visitor: Visitor) -> None:
    statuses: list[int] = []
    for exhibit in [e for e in exhibits() if e.host == BUSY][:3]:
        async with visitor.see(exhibit) as response:
            statuses.append(response.status)
            assert response.headers.get("Retry-After") == ("1" if response.status == 429 else None)
    assert statuses == [429, 200, 200]


async def test_the_slow_host_is_slow_and_nobody_waits_for_it(visitor: Visitor) -> None:
    async def seconds(exhibit: Exhibit) -> float:
        start = perf_counter()
        async with visitor.see(exhibit) as response:
            await response.read()
        return perf_counter() - start

    slow, other = await asyncio.gather(seconds(one(Answer.PICTURE, SLOW)), seconds(one(Answer.MISSING)))
    assert other < 0.3 <= slow


@pytest.mark.parametrize(("answer", "length"), [(Answer.ENDLESS, None), (Answer.OVERSIZED, 6 * 1024**3)])
async def test_a_body_without_measure_costs_no_memory(visitor: Visitor, answer: Answer, length: int | None) -> None:
    tracemalloc.start()
    try:
        async with visitor.see(one(answer)) as response:
            assert response.content_length == length
            read = 0
            while read < 48_000_000:
                read += len(await response.content.readany())
            response.close()
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    async with visitor.see(one(Answer.MISSING)) as response:
        assert response.status == 404


async def test_the_engine_finds_what_was_promised() -> None:
    inspections: dict[tuple[str, str], Inspection] = {}
    reasons: Counter[str] = Counter()
    async with DemoWeb() as web, Fetcher(FetchOptions(allow_private=True, hosts=web.hosts)) as fetcher:

        async def take(exhibit: Exhibit) -> None:
            try:
                response = await fetcher.get(web.url(exhibit.host, exhibit.path))
                inspection = await asyncio.to_thread(inspect, response.body)
            except OutcomeError as error:
                reasons[error.reason.value] += 1
            else:
                assert (inspection.width, inspection.height) == exhibit.picture.size
                assert inspection.format == exhibit.picture.format
                inspections[exhibit.host, exhibit.path] = inspection

        await asyncio.gather(*map(take, exhibits()))
        promised = web.expected()
    found = inspections.values()
    large = [i for i in found if max(i.width, i.height) >= 64]
    assert promised == {
        **reasons,
        "downloaded": len(found),
        "exact_duplicates": len(found) - len({i.sha256 for i in found}),
        "smaller_than_64": len(found) - len(large),
        "dark": sum(i.brightness < 0.15 for i in found),
        "blurred": sum(i.sharpness < 100 for i in found),
    }
    assert 0 < promised["exact_duplicates"] < promised["downloaded"] < web.max_images
    # Nothing is near a threshold, so no decoder's rounding can move a picture across.
    assert not any(0.12 < i.brightness < 0.25 or 10 < i.sharpness < 105 for i in found)
    assert_perceptual_hashes_tell_copies(inspections)


def assert_perceptual_hashes_tell_copies(inspections: dict[tuple[str, str], Inspection]) -> None:
    """Within 31 bits between a picture and its copies, the usual limit of PDQ; far more between any other two."""
    shown = [e for e in exhibits() if (e.host, e.path) in inspections]
    hashes = np.array([np.frombuffer(inspections[e.host, e.path].pdq, np.uint8) for e in shown])
    bits = np.unpackbits(hashes, axis=1).astype(np.int32)
    distances = bits @ (1 - bits).T + (1 - bits) @ bits.T
    drawings = np.array([SUBJECTS.index(e.picture.subject) * 1000 + e.picture.seed for e in shown])
    same = drawings[:, None] == drawings
    assert same.sum() > len(shown)
    assert distances[same].max() <= 31
    assert distances[~same].min() > 60


async def test_two_webs_serve_the_same_bytes() -> None:
    sample = [e for e in exhibits() if e.host != BUSY and e.answer not in {Answer.ENDLESS, Answer.OVERSIZED}][:15]

    async def served() -> list[str]:
        async with DemoWeb() as web, aiohttp.ClientSession() as session:
            visitor = Visitor(web, session)
            sums: list[str] = []
            for exhibit in sample:
                async with visitor.see(exhibit) as response:
                    sums.append(hashlib.sha256(await response.read()).hexdigest())
            return sums

    assert await served() == await served()


def test_another_process_draws_the_same_bytes() -> None:
    code = """
from hashlib import sha256
from backend.demo.pictures import render
from backend.demo.plan import exhibits
pictures = [e.picture for e in exhibits()][::40]
print(pictures)
print(*[sha256(render(picture)).hexdigest() for picture in pictures])
"""
    pictures: list[Picture] = [e.picture for e in exhibits()][::40]
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert out == [str(pictures), " ".join(hashlib.sha256(render(picture)).hexdigest() for picture in pictures)]
