from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.sources.openverse import Openverse
from gleanset.types import Candidate, Licence, Query
from tests.engine.sources.fake_openverse import FakeOpenverse, picture
from tests.engine.sources.reading import Waits, assert_resumable, candidates, read

CATS = Query(source="openverse", label="cat", keyword="cats")


def pictures(count: int) -> list[dict[str, Any]]:
    return [picture(number) for number in range(count)]


async def test_a_candidate_carries_everything_the_service_knows(http: Fetcher) -> None:
    async with FakeOpenverse([picture(7)]) as fake:
        (page,) = await read(Openverse(http, fake.url), CATS)
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url="https://media.example/7.jpg",
            label="cat",
            source="openverse",
            keyword="cats",
            page_url="https://photos.example/view/7",
            title="Picture 7",
            creator="Ada Example",
            creator_url="https://photos.example/people/ada",
            licence=Licence("by-sa", "4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
            attribution='"Picture 7" by Ada Example is licensed under CC BY-SA 4.0.',
            metadata={
                "id": "00000000-0000-4000-8000-000000000007",
                "provider": "flickr",
                "source": "flickr",
                "category": "photograph",
                "filetype": "jpg",
                "mature": False,
                "indexed_on": "2024-03-01T10:00:00.000000Z",
                "thumbnail": "https://api.openverse.org/v1/images/00000000-0000-4000-8000-000000000007/thumb/",
                "detail_url": "https://api.openverse.org/v1/images/00000000-0000-4000-8000-000000000007/",
                "tags": ["cat", "animal"],
                "file_size": 12345,
                "width": 1024,
                "height": 768,
            },
        ),
    )


async def test_it_asks_for_pages_of_20_and_cuts_the_keyword(http: Fetcher) -> None:
    query = Query(source="openverse", label="x", keyword="k" * 300, options={"license": ["by", "cc0"], "mature": False})
    async with FakeOpenverse(pictures(45)) as fake:
        pages = await read(Openverse(http, fake.url), query)
    assert [len(page.candidates) for page in pages] == [20, 20, 5]
    expected = {"q": "k" * 200, "license": "by,cc0", "mature": "false", "page_size": "20"}
    assert fake.asked == [expected | {"page": str(number)} for number in (1, 2, 3)]


async def test_it_stops_at_240_results(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(300)) as fake:
        found = candidates(await read(Openverse(http, fake.url), CATS))
    assert [candidate.url for candidate in found] == [f"https://media.example/{number}.jpg" for number in range(240)]
    assert len(fake.asked) == 12


async def test_a_page_thinned_out_by_dead_links_is_not_the_last(http: Fetcher) -> None:
    thin = json.dumps({"page_count": 2, "page": 1, "results": pictures(1)}).encode()
    async with FakeOpenverse(pictures(30)) as fake:
        fake.broken = [(200, {}, thin)]
        pages = await read(Openverse(http, fake.url), CATS)
    assert [len(page.candidates) for page in pages] == [1, 10]


@pytest.mark.parametrize(
    ("licences", "sent"),
    [
        (None, [None]),
        ({"cc0", "by"}, ["by,cc0"]),
        ({"by-nc", "unknown"}, ["by-nc"]),
        ({"unknown", "pexels"}, []),
        ((), []),
    ],
)
async def test_a_query_for_licences_is_filtered_there_or_not_sent(
    http: Fetcher, licences: Collection[str] | None, sent: list[str | None]
) -> None:
    query = replace(CATS, licences=None if licences is None else frozenset(licences))
    async with FakeOpenverse(pictures(3)) as fake:
        (page,) = await read(Openverse(http, fake.url), query)
    assert [params.get("license") for params in fake.asked] == sent
    assert (len(page.candidates), page.cursor) == (3 * len(sent), None)


async def test_a_page_count_past_the_depth_is_not_believed(http: Fetcher) -> None:
    boast = json.dumps({"page_count": 500, "page": 12, "results": pictures(20)}).encode()
    async with FakeOpenverse(pictures(300)) as fake:
        fake.broken = [(200, {}, boast)]
        (page,) = await read(Openverse(http, fake.url), CATS, "220")
    assert (len(page.candidates), page.cursor) == (20, None)


async def test_it_resumes_from_every_cursor(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(95), burst=100) as fake:
        await assert_resumable(Openverse(http, fake.url), CATS)


async def test_no_result_is_one_empty_page(http: Fetcher) -> None:
    async with FakeOpenverse([]) as fake:
        (page,) = await read(Openverse(http, fake.url), CATS)
    assert (page.candidates, page.cursor) == ((), None)


async def test_it_waits_for_the_throttle_instead_of_earning_a_429(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(100), burst=2) as fake:
        waits = Waits(fake.a_minute_passes)
        found = candidates(await read(Openverse(http, fake.url, waits), CATS))
    assert len(found) == 100
    assert fake.throttled == 0
    assert waits == pytest.approx([60, 60], abs=2)


async def test_a_used_up_day_is_an_error_to_come_back_to_later(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(100), daily=2) as fake:
        waits = Waits(fake.a_minute_passes)
        pages = Openverse(http, fake.url, waits).pages(CATS, None)
        assert [(await anext(pages)).cursor for _ in range(2)] == ["20", "40"]
        with pytest.raises(SourceError, match=r"no more requests for the next 24 hours") as caught:
            await anext(pages)
        assert caught.value.retryable
        assert (len(fake.asked), fake.throttled, waits) == (2, 0, [])


async def test_a_429_is_waited_out(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(30), burst=20) as fake:
        fake.left["anon_burst"] = 0  # used up by somebody else behind our address
        waits = Waits(fake.a_minute_passes)
        found = candidates(await read(Openverse(http, fake.url, waits), CATS))
    assert len(found) == 30
    assert fake.throttled == 1
    assert waits == pytest.approx([41], abs=2)


async def test_a_429_without_end_is_an_error_to_come_back_to(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(30)) as fake:
        fake.broken = [(429, {"Retry-After": "31"}, b'{"detail": "Request was throttled."}')] * 9
        with pytest.raises(SourceError, match=r"asks to slow down \(429\)\. Request was throttled\.") as caught:
            await read(Openverse(http, fake.url, Waits(fake.a_minute_passes)), CATS)
    assert caught.value.retryable
    assert len(fake.asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "sentence", "retryable"),
    [
        (500, b"", r"is failing \(500\)\. Try again later\.", True),
        (503, b"<html>down</html>", r"is failing \(503\)\. Try", True),
        (401, b'{"detail": "Invalid token."}', r"does not let us ask this \(401\)\. Invalid token\.", False),
        (
            400,
            b'{"detail": {"q": ["too long"]}}',
            r'does not accept the query \(400\)\. \{"q": \["too long"\]\}',
            False,
        ),
        (404, b"", r"answered with status 404\. Check its address", False),
        (200, b'{"results": [', r"not valid JSON", True),
        (200, b"\xff\xfe", r"not valid JSON", True),
        (200, b"[]", r"not a JSON object", True),
    ],
)
async def test_errors_are_sentences(http: Fetcher, status: int, body: bytes, sentence: str, retryable: bool) -> None:
    async with FakeOpenverse(pictures(3)) as fake:
        fake.broken = [(status, {}, body)] * 3
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(Openverse(http, fake.url), CATS)
    assert str(caught.value).startswith("Openverse ")
    assert caught.value.retryable is retryable


async def test_a_passing_fault_is_not_noticed(http: Fetcher) -> None:
    async with FakeOpenverse(pictures(25)) as fake:
        fake.broken = [(502, {}, b"")]
        assert len(candidates(await read(Openverse(http, fake.url), CATS))) == 25


async def test_a_bad_licence_is_told_in_the_words_of_the_service(http: Fetcher) -> None:
    query = Query(source="openverse", label="cat", keyword="cats", options={"license": "mine"})
    async with FakeOpenverse(pictures(3)) as fake:
        with pytest.raises(
            SourceError, match=r"\(400\)\. Invalid input given .* License 'mine' does not exist\."
        ) as caught:
            await read(Openverse(http, fake.url), query)
    assert not caught.value.retryable


async def test_a_service_that_is_away_is_an_error_to_come_back_to(http: Fetcher) -> None:
    async with FakeOpenverse([]) as fake:
        gone = fake.url
    with pytest.raises(SourceError, match="Openverse cannot be reached: The connection was refused") as caught:
        await read(Openverse(http, gone), CATS)
    assert caught.value.retryable


async def test_an_address_we_may_not_ask_is_an_error_for_good() -> None:
    async with FakeOpenverse([]) as fake, Fetcher(FetchOptions()) as guarded:
        with pytest.raises(SourceError, match="Openverse cannot be reached") as caught:
            await read(Openverse(guarded, fake.url), CATS)
    assert not caught.value.retryable
    assert fake.asked == []


async def test_untidy_results_are_tolerated(http: Fetcher) -> None:
    results: list[Any] = [
        picture(1),
        picture(1, url="https://media.example/copy-of-1.jpg"),
        picture(2, url=None),
        picture(3, url="  "),
        {"url": "https://media.example/bare.jpg"},
        "nonsense",
        None,
        picture(4, tags=None, width="640", height="tall", title="a\0b\ud800", attribution=None, license_url=None),
        picture(5, license=None, license_version=None, license_url=None, attribution=None, creator=None),
    ]
    async with FakeOpenverse(results) as fake:
        one, bare, four, five = candidates(await read(Openverse(http, fake.url), CATS))
    assert one.url == "https://media.example/1.jpg"
    assert bare == Candidate(url="https://media.example/bare.jpg", label="cat", source="openverse", keyword="cats")
    assert four.title == "ab?"
    assert four.attribution == '"ab?" by Ada Example, CC BY-SA 4.0, via https://photos.example/view/4'
    assert four.metadata["width"] == 640
    assert "height" not in four.metadata
    assert "tags" not in four.metadata
    assert (five.licence, five.attribution) == (None, None)


@pytest.mark.parametrize(
    ("query", "cursor", "sentence"),
    [
        (Query(source="openverse", label="x"), None, "needs a keyword"),
        (Query(source="openverse", label="x", keyword="  "), None, "needs a keyword"),
        (Query(source="openverse", label="x", keyword="x", options={"colour": "red"}), None, "no option colour"),
        (
            Query(source="openverse", label="x", keyword="x", options={"source": "a", "excluded_source": "b"}),
            None,
            "either source or excluded_source",
        ),
        (CATS, "next", "not a cursor"),
        (CATS, "240", "not a cursor"),
        (CATS, "15", "not a cursor"),
        (CATS, "-20", "not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, query: Query, cursor: str | None, sentence: str
) -> None:
    async with FakeOpenverse(pictures(3)) as fake:
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(Openverse(http, fake.url), query, cursor)
    assert not caught.value.retryable
    assert fake.asked == []
