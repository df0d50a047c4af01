from __future__ import annotations

from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources.met import INFO, Met
from gleanset.types import Candidate, Licence, Pace, Query
from tests.engine.sources.fake_met import FakeMet, work
from tests.engine.sources.reading import Waits, assert_resumable, candidates, read

QUAILS = Query(source="met", label="quail", keyword="quails")


def works(count: int) -> dict[int, Any]:
    """Works whose ids run against the order in which the search ranks them."""
    return {number: work(number) for number in range(1000, 1000 - count, -1)}


async def test_a_candidate_carries_everything_the_service_knows(http: Fetcher) -> None:
    async with FakeMet({7: work(7)}) as fake:
        (page,) = await read(Met(http, fake.url), QUAILS)
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url="https://images.metmuseum.org/CRDImages/as/original/7.jpg",
            label="quail",
            source="met",
            keyword="quails",
            page_url="https://www.metmuseum.org/art/collection/search/7",
            title="Quail and Millet 7",
            creator="Kiyohara Yukinobu",
            creator_url="https://www.wikidata.org/wiki/Q11560527",
            licence=Licence("cc0", "1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
            attribution='"Quail and Millet 7" by Kiyohara Yukinobu, '
            "CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/), "
            "via https://www.metmuseum.org/art/collection/search/7",
            metadata={
                "id": 7,
                "provider": "met",
                "accessionNumber": "36.100.45",
                "department": "Asian Art",
                "objectName": "Hanging scroll",
                "culture": "Japan",
                "period": "Edo period (1615\u20131868)",
                "objectDate": "late 17th century",
                "medium": "Hanging scroll; ink and color on silk",
                "credit": "The Howard Mansfield Collection, Purchase, Rogers Fund, 1936",
                "tags": ["Birds"],
            },
        ),
    )
    assert fake.asked == ["/search?q=quails&hasImages=true", "/objects/7"]


async def test_only_the_public_domain_with_a_picture_is_taken(http: Fetcher) -> None:
    found = {
        1: work(1, isPublicDomain=False),
        2: work(2, isPublicDomain="true"),
        3: work(3, primaryImage=""),
        4: work(4, "https://a.example/back.jpg", primaryImage=None),
        5: None,
        6: work(6, "https://a.example/back.jpg", "", None, "https://a.example/back.jpg"),
    }
    async with FakeMet(found) as fake:
        (page,) = await read(Met(http, fake.url), QUAILS)
    assert [(candidate.url, candidate.metadata["id"]) for candidate in page.candidates] == [
        ("https://images.metmuseum.org/CRDImages/as/original/6.jpg", 6),
        ("https://a.example/back.jpg", 6),
    ]
    assert fake.asked[1:] == [f"/objects/{number}" for number in range(1, 7)]


async def test_pages_are_of_20_objects_in_the_order_of_the_search(http: Fetcher) -> None:
    async with FakeMet(works(45)) as fake:
        pages = await read(Met(http, fake.url), QUAILS)
    assert [(len(page.candidates), page.cursor) for page in pages] == [(20, "19:981"), (20, "39:961"), (5, None)]
    assert [candidate.metadata["id"] for candidate in candidates(pages)] == list(range(1000, 955, -1))
    assert len(fake.asked) == 46


async def test_it_resumes_from_every_cursor(http: Fetcher) -> None:
    found = works(85) | dict.fromkeys(range(985, 955, -1))  # a whole page of objects that are gone, and more
    async with FakeMet(found) as fake:
        await assert_resumable(Met(http, fake.url), QUAILS)


async def test_a_search_that_finds_more_or_less_meanwhile_moves_nothing(http: Fetcher) -> None:
    async with FakeMet(works(45)) as fake:
        source = Met(http, fake.url)
        expected = candidates((await read(source, QUAILS))[1:])
        fake.found = [5, 6, *fake.works]
        assert candidates(await read(source, QUAILS, "19:981")) == expected
        fake.found = [number for number in fake.works if number != 981]
        assert candidates(await read(source, QUAILS, "19:981")) == expected
        fake.found = [1000]
        assert candidates(await read(source, QUAILS, "19:981")) == []


async def test_no_result_is_one_empty_page(http: Fetcher) -> None:
    async with FakeMet({}) as fake:  # which says so with objectIDs of null
        (page,) = await read(Met(http, fake.url), QUAILS)
    assert (page.candidates, page.cursor) == ((), None)
    assert fake.asked == ["/search?q=quails&hasImages=true"]


@pytest.mark.parametrize(("licence", "pictures", "requests"), [("cc0", 1, 2), ("by", 0, 0), ("unknown", 0, 0)])
async def test_it_has_pictures_under_cc0_only(http: Fetcher, licence: str, pictures: int, requests: int) -> None:
    query = Query(source="met", label="quail", keyword="quails", licences=frozenset({licence}))
    async with FakeMet({7: work(7)}) as fake:
        (page,) = await read(Met(http, fake.url), query)
    assert (len(page.candidates), page.cursor, len(fake.asked)) == (pictures, None, requests)


async def test_a_burst_that_earned_403_is_waited_out(http: Fetcher) -> None:
    async with FakeMet(works(45), burst=30) as fake:
        waits = Waits(fake.quiet)
        found = candidates(await read(Met(http, fake.url, waits), QUAILS))
    assert [candidate.metadata["id"] for candidate in found] == list(range(1000, 955, -1))
    assert waits == pytest.approx([30], abs=2)
    assert len(fake.asked) == 47


async def test_a_403_without_end_is_an_error_to_come_back_to(http: Fetcher) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async with FakeMet(works(45), burst=30) as fake:
        pages = Met(http, fake.url, wait).pages(QUAILS, None)
        assert (await anext(pages)).cursor == "19:981"
        with pytest.raises(SourceError, match=r"The Met asks to slow down \(403\)\. Try again later\.") as caught:
            await anext(pages)
        assert caught.value.retryable
        assert waits == pytest.approx([30, 30], abs=2)
        fake.quiet()
        resumed = Met(http, fake.url).pages(QUAILS, "19:981")
        assert [candidate.metadata["id"] for candidate in (await anext(resumed)).candidates] == [*range(980, 960, -1)]


@pytest.mark.parametrize(
    ("status", "body", "sentence", "retryable"),
    [
        (502, b"", r"The Met is failing \(502\)", True),
        (200, b"<html>", "not valid JSON", True),
        (200, b"[1]", "not a JSON object", True),
        (400, b'{"message": "q is needed"}', r"does not accept the query \(400\)\. q is needed\.", False),
        (404, b"", r"answered with status 404\. Check its address", False),
    ],
)
async def test_errors_are_sentences(http: Fetcher, status: int, body: bytes, sentence: str, retryable: bool) -> None:
    async with FakeMet(works(1)) as fake:
        fake.broken = [(status, {}, body)] * 3
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(Met(http, fake.url), QUAILS)
    assert caught.value.retryable is retryable


async def test_untidy_results_are_tolerated(http: Fetcher) -> None:
    bare = {"isPublicDomain": True, "primaryImage": "https://a.example/bare.jpg"}
    untidy = work(3, title=["a"], artistDisplayName=7, artistWikidata_URL="", tags="Birds", additionalImages={"a": 1})
    hostile = work(4, title="\0<b>", department={"a": 1}, tags=[None, {"term": None}, {"term": " x\0 "}])
    async with FakeMet({1: bare, 2: ["nonsense"], 3: untidy, 4: hostile}) as fake:
        fake.found = [1, "3", "x", None, True, -5, 2.5, 10**30, {"a": 1}, 3, 1, 4.0]
        one, three, four = candidates(await read(Met(http, fake.url), QUAILS))
    assert (one.url, one.metadata) == ("https://a.example/bare.jpg", {"id": 1, "provider": "met"})
    assert one.attribution == "Untitled image, CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/)"
    assert (three.title, three.creator) == (None, "7")
    assert three.creator_url == "http://vocab.getty.edu/page/ulan/500034433"
    assert "tags" not in three.metadata
    assert (four.title, four.metadata["tags"]) == (None, ["x"])
    assert "department" not in four.metadata
    assert fake.asked[1:] == ["/objects/1", "/objects/3", "/objects/4"]


async def test_an_object_that_is_no_object_is_an_error_to_come_back_to(http: Fetcher) -> None:
    async with FakeMet({2: ["nonsense"]}) as fake:
        with pytest.raises(SourceError, match="not a JSON object") as caught:
            await read(Met(http, fake.url), QUAILS)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("query", "cursor", "sentence"),
    [
        (Query(source="met", label="x"), None, "The Met needs a keyword"),
        (Query(source="met", label="x", keyword="x", options={"size": 1}), None, r"The Met has no option size\."),
        (QUAILS, "19", "'19' is not a cursor of The Met"),
        (QUAILS, "-1:5", "not a cursor"),
        (QUAILS, "9:x", "not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, query: Query, cursor: str | None, sentence: str
) -> None:
    async with FakeMet(works(1)) as fake:
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(Met(http, fake.url), query, cursor)
    assert not caught.value.retryable
    assert fake.asked == []


def test_it_is_asked_once_a_second() -> None:
    assert INFO.pace == Pace(1, 1.0)
