from __future__ import annotations

import json
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources.pixabay import Pixabay
from gleanset.types import Candidate, Licence, Query
from tests.engine.sources.fake_keyed import KEY
from tests.engine.sources.fake_pixabay import FakePixabay, hit
from tests.engine.sources.reading import Waits, assert_resumable, candidates, read

CATS = Query(source="pixabay", label="cat", keyword="cats")
LICENCE = Licence("pixabay", None, "https://pixabay.com/service/license-summary/")


def hits(count: int) -> list[dict[str, Any]]:
    return [hit(number) for number in range(count)]


async def test_a_candidate_carries_everything_the_service_knows(http: Fetcher) -> None:
    async with FakePixabay([hit(7)]) as fake:
        (page,) = await read(Pixabay(http, KEY, fake.url), CATS)
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url="https://pixabay.com/get/7_1280.jpg",
            label="cat",
            source="pixabay",
            keyword="cats",
            page_url="https://pixabay.com/photos/cat-mat-7/",
            creator="Ada Example",
            creator_url="https://pixabay.com/users/Ada%20Example-4321/",
            licence=LICENCE,
            attribution="Untitled image by Ada Example, pixabay (https://pixabay.com/service/license-summary/), "
            "via https://pixabay.com/photos/cat-mat-7/",
            metadata={
                "id": 7,
                "provider": "pixabay",
                "type": "photo",
                "tags": ["cat", "mat", "sleeping cat"],
                "width": 6000,
                "height": 4000,
            },
        ),
    )


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({"imageURL": "https://pixabay.com/get/full.jpg"}, "https://pixabay.com/get/full.jpg"),
        ({"imageURL": ""}, "https://pixabay.com/get/7_1280.jpg"),
        ({"largeImageURL": None}, "https://pixabay.com/get/7_640.jpg"),
    ],
)
async def test_the_largest_picture_that_the_key_may_have_is_taken(
    http: Fetcher, changes: dict[str, Any], url: str
) -> None:
    async with FakePixabay([hit(7, **changes)]) as fake:
        (found,) = candidates(await read(Pixabay(http, KEY, fake.url), CATS))
    assert found.url == url


async def test_it_asks_for_pages_of_200_as_far_as_hits_can_be_had(http: Fetcher) -> None:
    query = Query(source="pixabay", label="x", keyword="k" * 150)
    async with FakePixabay(hits(700)) as fake:
        pages = await read(Pixabay(http, KEY, fake.url), query)
    assert [(len(page.candidates), page.cursor) for page in pages] == [(200, "2"), (200, "3"), (100, None)]
    expected = {"q": "k" * 100, "safesearch": "true", "per_page": "200"}
    assert fake.asked == [expected | {"page": page} for page in ("1", "2", "3")]


async def test_a_full_last_page_is_the_last(http: Fetcher) -> None:
    async with FakePixabay(hits(400)) as fake:
        pages = await read(Pixabay(http, KEY, fake.url), CATS)
    assert [(len(page.candidates), page.cursor) for page in pages] == [(200, "2"), (200, None)]


async def test_it_resumes_from_every_cursor(http: Fetcher) -> None:
    async with FakePixabay(hits(450)) as fake:
        await assert_resumable(Pixabay(http, KEY, fake.url), CATS)


@pytest.mark.parametrize("answer", [{}, {"totalHits": 10**30, "hits": []}, {"totalHits": "many", "hits": "none"}])
async def test_a_page_without_hits_is_the_last(http: Fetcher, answer: Any) -> None:
    async with FakePixabay(hits(3)) as fake:
        fake.broken = [(200, {}, json.dumps(answer).encode())]
        (page,) = await read(Pixabay(http, KEY, fake.url), CATS)
    assert (page.candidates, page.cursor) == ((), None)


async def test_hits_without_end_do_not_keep_it_for_ever(http: Fetcher) -> None:
    boast = json.dumps({"totalHits": 10**30, "hits": hits(1)}).encode()
    async with FakePixabay([]) as fake:
        fake.broken = [(200, {}, boast)] * 3
        pages = await read(Pixabay(http, KEY, fake.url), CATS, "99")
    assert [page.cursor for page in pages] == ["100", None]


async def test_it_waits_for_the_throttle_instead_of_earning_a_429(http: Fetcher) -> None:
    async with FakePixabay(hits(500), burst=1) as fake:
        waits = Waits(fake.a_minute_passes)
        found = candidates(await read(Pixabay(http, KEY, fake.url, waits), CATS))
    assert len(found) == 500
    assert fake.throttled == 0
    assert waits == pytest.approx([37, 37], abs=2)


async def test_a_429_is_waited_out_as_long_as_its_headers_say(http: Fetcher) -> None:
    async with FakePixabay(hits(5)) as fake:
        fake.left = 0  # used up by somebody else with our key
        waits = Waits(fake.a_minute_passes)
        found = candidates(await read(Pixabay(http, KEY, fake.url, waits), CATS))
    assert len(found) == 5
    assert waits == pytest.approx([37], abs=2)


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (400, b'[ERROR 400] "page" is out of valid range.\nmore', '(400). [ERROR 400] "page" is out of valid range.'),
        (400, b"<html>no</html>", "Pixabay does not accept the query (400)."),
        (400, b'{"broken', "Pixabay does not accept the query (400)."),
        (400, b"\x00\x01\x02", "Pixabay does not accept the query (400)."),
        (400, b"\xff\xfe", "Pixabay does not accept the query (400)."),
        (404, b"x" * 9000, f"answered with status 404. {'x' * 500}. Check its address."),
    ],
)
async def test_errors_in_plain_text_are_told(http: Fetcher, status: int, body: bytes, sentence: str) -> None:
    async with FakePixabay([]) as fake:
        fake.broken = [(status, {}, body)]
        with pytest.raises(SourceError) as caught:
            await read(Pixabay(http, KEY, fake.url), CATS)
    assert str(caught.value).endswith(sentence)
    assert not caught.value.retryable


async def test_a_wrong_key_is_an_error_for_good(http: Fetcher) -> None:
    async with FakePixabay(hits(3)) as fake:
        with pytest.raises(SourceError, match=r"\(400\)\. \[ERROR 400\] Invalid or missing API key") as caught:
            await read(Pixabay(http, "another", fake.url), CATS)
    assert not caught.value.retryable


async def test_untidy_results_are_tolerated(http: Fetcher) -> None:
    results: list[Any] = [
        hit(1),
        hit(1, largeImageURL="https://pixabay.com/get/copy.jpg"),
        hit(2, largeImageURL=None, webformatURL=[]),
        {"largeImageURL": "https://pixabay.com/get/bare.jpg"},
        "nonsense",
        None,
        hit(4, tags=["cat"], user="a/b\0\ud800", imageWidth="640", imageHeight={}, type=True),
        hit(5, tags=" , ", user_id=None),
    ]
    async with FakePixabay(results) as fake:
        one, bare, four, five = candidates(await read(Pixabay(http, KEY, fake.url), CATS))
    assert one.url == "https://pixabay.com/get/1_1280.jpg"
    assert bare == Candidate(
        url="https://pixabay.com/get/bare.jpg", label="cat", source="pixabay", keyword="cats", licence=LICENCE,
        attribution="Untitled image, pixabay (https://pixabay.com/service/license-summary/)",
        metadata={"provider": "pixabay"},
    )  # fmt: skip
    assert (four.creator, four.creator_url) == ("a/b?", "https://pixabay.com/users/a%2Fb%3F-4321/")
    assert four.metadata == {"id": 4, "provider": "pixabay", "width": 640}
    assert (five.creator_url, "tags" in five.metadata) == (None, False)


@pytest.mark.parametrize(
    ("query", "cursor", "sentence"),
    [
        (Query(source="pixabay", label="x"), None, "Pixabay needs a keyword"),
        (Query(source="pixabay", label="x", keyword="x", options={"q": "y"}), None, "no option q"),
        (CATS, "two", "not a cursor of Pixabay"),
        (CATS, "101", "not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, query: Query, cursor: str | None, sentence: str
) -> None:
    async with FakePixabay(hits(3)) as fake:
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(Pixabay(http, KEY, fake.url), query, cursor)
    assert not caught.value.retryable
    assert fake.asked == []
