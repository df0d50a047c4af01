from __future__ import annotations

import json
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources.pexels import Pexels
from gleanset.types import Candidate, Licence, Query
from tests.engine.sources.fake_keyed import KEY
from tests.engine.sources.fake_pexels import FakePexels, photo
from tests.engine.sources.reading import assert_resumable, candidates, read

CATS = Query(source="pexels", label="cat", keyword="cats")
LICENCE = Licence("pexels", None, "https://www.pexels.com/license/")


def photos(count: int) -> list[dict[str, Any]]:
    return [photo(number) for number in range(count)]


async def test_a_candidate_carries_everything_the_service_knows(http: Fetcher) -> None:
    async with FakePexels([photo(7)]) as fake:
        (page,) = await read(Pexels(http, KEY, fake.url), CATS)
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url="https://images.pexels.com/photos/7/pexels-photo-7.jpeg",
            label="cat",
            source="pexels",
            keyword="cats",
            page_url="https://www.pexels.com/photo/cat-7/",
            title="A cat, number 7",
            creator="Ada Example",
            creator_url="https://www.pexels.com/@ada",
            licence=LICENCE,
            attribution='"A cat, number 7" by Ada Example, pexels (https://www.pexels.com/license/), '
            "via https://www.pexels.com/photo/cat-7/",
            metadata={"id": 7, "provider": "pexels", "average_colour": "#7E7F7B", "width": 4000, "height": 6000},
        ),
    )


async def test_it_asks_for_pages_of_80_until_there_is_no_next_one(http: Fetcher) -> None:
    async with FakePexels(photos(200)) as fake:
        pages = await read(Pexels(http, KEY, fake.url), CATS)
    assert [(len(page.candidates), page.cursor) for page in pages] == [(80, "2"), (80, "3"), (40, None)]
    assert [one.metadata["id"] for one in candidates(pages)] == list(range(200))
    assert fake.asked == [{"query": "cats", "per_page": "80", "page": page} for page in ("1", "2", "3")]


async def test_it_resumes_from_every_cursor(http: Fetcher) -> None:
    async with FakePexels(photos(350)) as fake:
        await assert_resumable(Pexels(http, KEY, fake.url), CATS)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"photos": [], "next_page": "https://api.pexels.com/v1/search/?page=2"},
        {"photos": {"a": 1}, "next_page": "x"},
    ],
)
async def test_a_page_without_photos_is_the_last(http: Fetcher, answer: Any) -> None:
    async with FakePexels(photos(3)) as fake:
        fake.broken = [(200, {}, json.dumps(answer).encode())]
        (page,) = await read(Pexels(http, KEY, fake.url), CATS)
    assert (page.candidates, page.cursor) == ((), None)


async def test_a_service_that_always_has_a_next_page_does_not_keep_it_for_ever(http: Fetcher) -> None:
    again = json.dumps({"photos": photos(1), "next_page": "https://api.pexels.com/v1/search/?page=2"}).encode()
    async with FakePexels([]) as fake:
        fake.broken = [(200, {}, again)] * 3
        pages = await read(Pexels(http, KEY, fake.url), CATS, "999")
    assert [page.cursor for page in pages] == ["1000", None]


async def test_a_used_up_month_is_an_error_to_come_back_to_later(http: Fetcher) -> None:
    async with FakePexels(photos(300), monthly=2, reset=9 * 86400) as fake:
        pages = Pexels(http, KEY, fake.url).pages(CATS, None)
        assert [(await anext(pages)).cursor for _ in range(2)] == ["2", "3"]
        with pytest.raises(SourceError, match="Pexels allows no more requests for the next 9 days") as caught:
            await anext(pages)
    assert caught.value.retryable
    assert len(fake.asked) == 2


async def test_a_wrong_key_is_an_error_for_good(http: Fetcher) -> None:
    async with FakePexels(photos(3)) as fake:
        with pytest.raises(SourceError) as caught:
            await read(Pexels(http, "another", fake.url), CATS)
    assert str(caught.value) == (
        "Pexels does not let us ask this (401). Invalid API key. Check the key in GLEANSET_SOURCE_KEYS."
    )
    assert not caught.value.retryable


async def test_untidy_results_are_tolerated(http: Fetcher) -> None:
    results: list[Any] = [
        photo(1),
        photo(1, src={"original": "https://images.pexels.com/copy.jpeg"}),
        photo(2, src=None),
        photo(3, src={"original": " "}),
        {"src": {"original": "https://images.pexels.com/bare.jpeg"}},
        "nonsense",
        None,
        photo(4, alt="a\0b\ud800", photographer=["Ada"], photographer_url=4, width="640", height="tall"),
    ]
    async with FakePexels(results) as fake:
        one, bare, four = candidates(await read(Pexels(http, KEY, fake.url), CATS))
    assert one.url == "https://images.pexels.com/photos/1/pexels-photo-1.jpeg"
    assert bare == Candidate(
        url="https://images.pexels.com/bare.jpeg", label="cat", source="pexels", keyword="cats", licence=LICENCE,
        attribution="Untitled image, pexels (https://www.pexels.com/license/)", metadata={"provider": "pexels"},
    )  # fmt: skip
    assert (four.title, four.creator, four.creator_url) == ("ab?", None, "4")
    assert four.metadata["width"] == 640
    assert "height" not in four.metadata


@pytest.mark.parametrize(
    ("query", "cursor", "sentence"),
    [
        (Query(source="pexels", label="x", keyword="  "), None, "Pexels needs a keyword"),
        (Query(source="pexels", label="x", keyword="x", options={"color": "red"}), None, "no option color"),
        (CATS, "https://api.pexels.com/v1/search/?page=2", "not a cursor of Pexels"),
        (CATS, "1001", "not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, query: Query, cursor: str | None, sentence: str
) -> None:
    async with FakePexels(photos(3)) as fake:
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(Pexels(http, KEY, fake.url), query, cursor)
    assert not caught.value.retryable
    assert fake.asked == []
