"""Openverse with a key: tokens, larger pages, and jobs that go on with or without it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources import SourceOptions, open_source
from gleanset.sources.openverse import Openverse
from gleanset.types import Query
from tests.engine.sources.fake_openverse import FakeOpenverse, picture
from tests.engine.sources.reading import assert_resumable, candidates, read

CATS = Query(source="openverse", label="cat", keyword="cats")
KEY = "gleaner:s3cret"


def pictures(count: int) -> list[dict[str, Any]]:
    return [picture(number) for number in range(count)]


def urls(first: int, end: int) -> list[str]:
    return [f"https://media.example/{number}.jpg" for number in range(first, end)]


async def test_a_key_is_traded_for_one_token_that_all_searches_carry(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(120)) as fake:
        options = SourceOptions(urls={"openverse": fake.url}, keys={"openverse": KEY})
        source = open_source("openverse", http, options)
        first, second = await asyncio.gather(read(source, CATS), read(source, CATS))
    assert [candidate.url for candidate in candidates(first)] == urls(0, 120)
    assert first == second
    assert fake.token_forms == [{"grant_type": "client_credentials", "client_id": "gleaner", "client_secret": "s3cret"}]
    assert fake.authorized == ["Bearer token-1"] * 6


async def test_pages_of_50_reach_as_deep_as_those_of_20(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(300)) as fake:
        pages = await read(Openverse(http, fake.url, key=KEY), CATS)
    assert [candidate.url for candidate in candidates(pages)] == urls(0, 240)
    asked = [(params["page_size"], params["page"]) for params in fake.asked]
    assert asked == [("50", "1"), ("50", "2"), ("50", "3"), ("50", "4"), ("20", "11"), ("20", "12")]
    assert [page.cursor for page in pages] == ["50", "100", "150", "200", "220", None]


@pytest.mark.parametrize("count", [50, 95, 200, 201, 240])
async def test_it_resumes_from_every_cursor(http: Fetcher, count: int) -> None:
    async with FakeOpenverse(pictures(count)) as fake:
        source = Openverse(http, fake.url, key=KEY)
        assert [candidate.url for candidate in candidates(await read(source, CATS))] == urls(0, count)
        await assert_resumable(source, CATS)


@pytest.mark.parametrize(("before", "after"), [(None, KEY), (KEY, None)])
async def test_a_job_goes_on_at_the_same_picture_with_and_without_the_key(
    http: Fetcher, before: str | None, after: str | None
) -> None:
    async with FakeOpenverse(pictures(300), burst=200) as fake:
        pages = await read(Openverse(http, fake.url, key=before), CATS)
        for place, page in enumerate(pages[:-1], start=1):
            behind = candidates(await read(Openverse(http, fake.url, key=after), CATS, page.cursor))
            assert behind == candidates(pages[place:])


async def test_a_token_near_its_end_is_renewed_before_the_search(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(100), expires_in=60) as fake:
        assert len(candidates(await read(Openverse(http, fake.url, key=KEY), CATS))) == 100
    assert fake.authorized == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("expires_in", [None, "soon", -5, 10**400])
async def test_an_end_that_makes_no_sense_does_not_stop_the_search(http: Fetcher, expires_in: Any) -> None:
    async with FakeOpenverse(pictures(3), expires_in=expires_in) as fake:
        assert len(candidates(await read(Openverse(http, fake.url, key=KEY), CATS))) == 3


async def test_a_token_that_the_service_forgot_is_renewed_once(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(100)) as fake:
        pages = Openverse(http, fake.url, key=KEY).pages(CATS, None)
        await anext(pages)
        fake.tokens.clear()
        assert [candidate.url for candidate in (await anext(pages)).candidates] == urls(50, 100)
    assert fake.authorized == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_a_401_that_a_new_token_does_not_cure_is_an_error(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(3)) as fake:
        fake.broken = [(401, {}, b'{"detail": "This account is closed."}')] * 9
        with pytest.raises(SourceError, match=r"does not let us ask this \(401\)\. This account is closed\.") as caught:
            await read(Openverse(http, fake.url, key=KEY), CATS)
    assert not caught.value.retryable
    assert (len(fake.token_forms), len(fake.asked)) == (2, 2)


@pytest.mark.parametrize("key", ["gleaner:wr0ng", "nobody:s3cret"])
async def test_a_wrong_key_is_an_error_that_does_not_show_it(http: Fetcher, key: str) -> None:
    async with FakeOpenverse(pictures(3)) as fake:
        with pytest.raises(SourceError) as caught:
            await read(Openverse(http, fake.url, key=key), CATS)
    assert str(caught.value) == "Openverse does not accept the key (401). Check its client_id:client_secret."
    assert not caught.value.retryable
    assert fake.asked == []


@pytest.mark.parametrize(
    ("status", "answer", "sentence", "retryable"),
    [
        (403, {"detail": "s3cret is banned"}, "Openverse does not accept the key (403).", False),
        (500, {"detail": "s3cret broke us"}, "Openverse gives no token (500). Try again later.", True),
        (302, {}, "Openverse gives no token (302). Try again later.", True),
        (200, [], "Openverse sent an answer that is not a JSON object.", True),
        (200, {}, "Openverse gives no token that can be used. Try again later.", True),
        (200, {"access_token": ["x"]}, "Openverse gives no token that can be used.", True),
        (200, {"access_token": "a\r\nX-Evil: 1"}, "Openverse gives no token that can be used.", True),
    ],
)
async def test_what_is_no_token_is_an_error(
    http: Fetcher, status: int, answer: Any, sentence: str, retryable: bool
) -> None:
    async with FakeOpenverse(pictures(3)) as fake:
        fake.broken_tokens = [(status, {"Location": "/elsewhere"}, json.dumps(answer).encode())] * 9
        with pytest.raises(SourceError) as caught:
            await read(Openverse(http, fake.url, key=KEY), CATS)
    assert str(caught.value).startswith(sentence)
    assert "s3cret" not in str(caught.value)
    assert caught.value.retryable is retryable
    assert fake.asked == []


@pytest.mark.parametrize("key", ["s3cret", "s3cret:", ":s3cret", ":"])
def test_a_key_of_another_form_is_an_error_that_does_not_show_it(http: Fetcher, key: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source("openverse", http, SourceOptions(keys={"openverse": key}))
    assert str(caught.value) == "The key of Openverse is to be written as client_id:client_secret."
