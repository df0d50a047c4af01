from __future__ import annotations

import json
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources.inaturalist import INFO, INaturalist
from gleanset.types import Candidate, Licence, Pace, Query
from tests.engine.sources.fake_inaturalist import FakeINaturalist, observation, photo
from tests.engine.sources.reading import assert_resumable, candidates, read

ROBINS = Query(source="inaturalist", label="robin", keyword="Erithacus rubecula")
OPEN = "cc-by,cc-by-nc,cc-by-nc-nd,cc-by-nc-sa,cc-by-nd,cc-by-sa,cc0"
ASKED = {"photos": "true", "per_page": "200", "order_by": "id", "order": "desc"}


def taking(*licences: str) -> Query:
    return Query(source="inaturalist", label="robin", keyword="robin", licences=frozenset(licences))


async def test_a_candidate_carries_everything_the_service_knows(http: Fetcher) -> None:
    async with FakeINaturalist([observation(7, photo(70), quality_grade="needs_id")]) as fake:
        (page,) = await read(INaturalist(http, fake.url), ROBINS)
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url="https://inaturalist-open-data.s3.amazonaws.com/photos/70/original.jpg",
            label="robin",
            source="inaturalist",
            keyword="Erithacus rubecula",
            page_url="https://www.inaturalist.org/observations/7",
            title="European Robin (Erithacus rubecula)",
            creator="Ada Example",
            creator_url="https://www.inaturalist.org/people/ada_example",
            licence=Licence("by-nc"),
            attribution="(c) Ada Example, some rights reserved (CC-BY-NC)",
            metadata={
                "id": 70,
                "provider": "inaturalist",
                "observation_id": 7,
                "quality_grade": "needs_id",
                "date_taken": "2023-05-04",
                "taxon_id": 13094,
                "taxon": "Erithacus rubecula",
                "taxon_rank": "species",
                "common_name": "European Robin",
                "group": "Aves",
                "width": 2048,
                "height": 1365,
            },
        ),
    )
    assert fake.asked == [ASKED | {"taxon_name": "Erithacus rubecula", "photo_license": OPEN}]


async def test_every_photo_has_its_own_licence_and_those_without_one_are_left_out(http: Fetcher) -> None:
    photos = [photo(1, "cc0"), photo(2, None), photo(3, "cc-by-sa"), photo(4, "gfdl")]
    async with FakeINaturalist([observation(1, *photos), observation(2, photo(5, None))]) as fake:
        found = candidates(await read(INaturalist(http, fake.url), ROBINS))
    assert [(candidate.metadata["id"], candidate.licence) for candidate in found] == [
        (1, Licence("cc0")),
        (3, Licence("by-sa")),
        (4, Licence("gfdl")),
    ]


async def test_the_service_keeps_to_the_licences_of_the_query(http: Fetcher) -> None:
    async with FakeINaturalist([observation(1, photo(1, "cc0")), observation(2, photo(2, "cc-by-nd"))]) as fake:
        (found,) = candidates(await read(INaturalist(http, fake.url), taking("cc0", "by-sa", "pdm")))
    assert found.metadata["id"] == 1
    assert fake.asked == [ASKED | {"taxon_name": "robin", "photo_license": "cc-by-sa,cc0"}]


async def test_who_takes_unknown_licences_gets_photos_without_one(http: Fetcher) -> None:
    async with FakeINaturalist([observation(1, photo(1, "cc0")), observation(2, photo(2, None))]) as fake:
        two, one = candidates(await read(INaturalist(http, fake.url), taking("cc0", "unknown")))
    assert (two.licence, two.attribution) == (None, "(c) Ada Example, all rights reserved")
    assert one.licence == Licence("cc0")
    assert fake.asked == [ASKED | {"taxon_name": "robin"}]


async def test_licences_that_it_never_has_are_not_asked_for(http: Fetcher) -> None:
    async with FakeINaturalist([observation(1)]) as fake:
        (page,) = await read(INaturalist(http, fake.url), taking("pdm", "sampling+"))
    assert (page.candidates, page.cursor, fake.asked) == ((), None, [])


async def test_it_pages_by_id_from_the_newest_to_the_oldest(http: Fetcher) -> None:
    async with FakeINaturalist([observation(number) for number in range(1, 451)]) as fake:
        pages = await read(INaturalist(http, fake.url), ROBINS)
    assert [page.cursor for page in pages] == ["251", "51", None]
    assert [candidate.metadata["observation_id"] for candidate in candidates(pages)] == list(range(450, 0, -1))
    assert [query.get("id_below") for query in fake.asked] == [None, "251", "51"]


async def test_what_is_added_meanwhile_moves_nothing(http: Fetcher) -> None:
    async with FakeINaturalist([observation(number) for number in range(1, 302)]) as fake:
        source = INaturalist(http, fake.url)
        pages = source.pages(ROBINS, None)
        first = await anext(pages)
        fake.observations += [observation(number) for number in range(302, 400)]
        rest = [page async for page in pages]
        assert await read(source, ROBINS, first.cursor) == rest
    assert [candidate.metadata["observation_id"] for candidate in candidates(rest)] == list(range(101, 0, -1))


@pytest.mark.parametrize("short", [200, 90])
async def test_it_resumes_from_every_cursor(http: Fetcher, short: int) -> None:
    async with FakeINaturalist([observation(number) for number in range(1, 502)], short=short) as fake:
        await assert_resumable(INaturalist(http, fake.url), ROBINS)
        assert len(candidates(await read(INaturalist(http, fake.url), ROBINS))) == 501


async def test_without_a_total_a_page_that_is_not_full_is_the_last(http: Fetcher) -> None:
    full = {"results": [observation(number) for number in range(1000, 800, -1)]}
    async with FakeINaturalist([observation(1)]) as fake:
        fake.broken = [(200, {}, json.dumps(full).encode())]
        pages = await read(INaturalist(http, fake.url), ROBINS)
    assert [(len(page.candidates), page.cursor) for page in pages] == [(200, "801"), (1, None)]


async def test_a_taxon_given_by_its_id_is_not_looked_for_by_name(http: Fetcher) -> None:
    options: dict[str, Any] = {"taxon_id": [13094, 3], "quality_grade": "research"}
    query = Query(source="inaturalist", label="robin", keyword="robin", options=options)
    async with FakeINaturalist([observation(1)]) as fake:
        (found,) = candidates(await read(INaturalist(http, fake.url), query))
    assert found.keyword == "robin"
    assert fake.asked == [ASKED | {"taxon_id": "13094,3", "quality_grade": "research", "photo_license": OPEN}]


@pytest.mark.parametrize(
    ("url", "original"),
    [
        ("https://a.example/photos/1/square.jpeg?1545694877", "https://a.example/photos/1/original.jpeg?1545694877"),
        ("https://a.example/square.dance/1/square.png", "https://a.example/square.dance/1/original.png"),
        ("https://a.example/photos/1/medium.jpg", "https://a.example/photos/1/medium.jpg"),
        ("https://a.example/square.jpg/view", "https://a.example/square.jpg/view"),
    ],
)
async def test_the_square_is_swapped_for_the_original(http: Fetcher, url: str, original: str) -> None:
    async with FakeINaturalist([observation(1, photo(1, url=url))]) as fake:
        (found,) = candidates(await read(INaturalist(http, fake.url), ROBINS))
    assert found.url == original


async def test_untidy_results_are_tolerated(http: Fetcher) -> None:
    hostile = {"login": "../../x?a=b", "name": "\0"}
    results: list[Any] = [
        observation(9, photo(1, url=None), photo(2, url=" "), photo(3), photo(3), "nonsense", None),
        observation(8, photos="none", id=8),
        observation(7, photo(4, attribution=None, original_dimensions="big"), user=hostile, taxon=[], uri=5),
        observation(6, photo(5, license_code=["cc0"]), photo(6, license_code=7)),
        "nonsense",
        None,
        {"id": "4", "photos": [{"url": "https://a.example/bare.jpg", "license_code": "CC-BY"}]},
    ]
    async with FakeINaturalist([]) as fake:
        fake.broken = [(200, {}, json.dumps({"total_results": "many", "results": results}).encode())]
        three, four, six, bare = candidates(await read(INaturalist(http, fake.url), ROBINS))
    assert three.metadata["id"] == 3
    assert (four.title, four.creator, four.creator_url) == (None, "../../x?a=b", None)
    assert (four.page_url, four.attribution) == ("5", "Untitled image by ../../x?a=b, CC BY-NC, via 5")
    assert "width" not in four.metadata
    assert six.licence == Licence("7")
    assert bare == Candidate(
        url="https://a.example/bare.jpg",
        label="robin",
        source="inaturalist",
        keyword="Erithacus rubecula",
        licence=Licence("by"),
        attribution="Untitled image, CC BY",
        metadata={"provider": "inaturalist", "observation_id": 4},
    )


async def test_no_result_is_one_empty_page(http: Fetcher) -> None:
    async with FakeINaturalist([]) as fake:
        (page,) = await read(INaturalist(http, fake.url), ROBINS)
    assert (page.candidates, page.cursor) == ((), None)


async def test_a_service_that_goes_in_circles_ends(http: Fetcher) -> None:
    again = {"total_results": 10**9, "results": [observation(number) for number in (3, 2)]}
    async with FakeINaturalist([]) as fake:
        fake.broken = [(200, {}, json.dumps(again).encode())] * 5
        with pytest.raises(SourceError, match="iNaturalist goes on at the same place for ever") as caught:
            await read(INaturalist(http, fake.url), ROBINS)
    assert caught.value.retryable
    assert len(fake.asked) == 2


async def test_an_option_it_refuses_is_told_in_its_words(http: Fetcher) -> None:
    query = Query(source="inaturalist", label="x", keyword="x", options={"quality_grade": "best"})
    async with FakeINaturalist([observation(1)]) as fake:
        with pytest.raises(SourceError, match=r"does not accept the query \(422\)\. Invalid quality_grade\.") as caught:
            await read(INaturalist(http, fake.url), query)
    assert not caught.value.retryable


async def test_a_429_is_waited_out(http: Fetcher) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async with FakeINaturalist([observation(1)]) as fake:
        fake.broken = [(429, {"Retry-After": "40"}, b'{"error": "Too Many Requests", "status": 429}')]
        assert len(candidates(await read(INaturalist(http, fake.url, wait), ROBINS))) == 1
    assert waits == pytest.approx([40], abs=2)


@pytest.mark.parametrize(
    ("query", "cursor", "sentence"),
    [
        (Query(source="inaturalist", label="x"), None, "iNaturalist needs a keyword"),
        (
            Query(source="inaturalist", label="x", keyword="x", options={"size": 1}),
            None,
            r"iNaturalist has no option size\. Its options are: taxon_id, quality_grade\.",
        ),
        (ROBINS, "0", "'0' is not a cursor of iNaturalist"),
        (ROBINS, "next", "not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, query: Query, cursor: str | None, sentence: str
) -> None:
    async with FakeINaturalist([observation(1)]) as fake:
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(INaturalist(http, fake.url), query, cursor)
    assert not caught.value.retryable
    assert fake.asked == []


def test_it_is_asked_less_than_ten_thousand_times_a_day() -> None:
    assert INFO.pace == Pace(1, 9.0)
    assert 86_400 / INFO.pace.interval < 10_000
    assert INFO.filters
