from __future__ import annotations

from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources.nasa import Nasa
from gleanset.types import Candidate, Query
from tests.engine.sources.fake_nasa import FakeNasa, files, picture
from tests.engine.sources.reading import assert_resumable, candidates, read

STORMS = Query(source="nasa", label="storm", keyword="storms")
ASSETS = "https://images-assets.nasa.gov/image"


def pictures(count: int) -> list[Any]:
    return [picture(number) for number in range(count)]


async def test_a_candidate_carries_everything_the_service_knows(http: Fetcher) -> None:
    async with FakeNasa([picture(7)]) as fake:
        (page,) = await read(Nasa(http, fake.url), STORMS)
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url=f"{ASSETS}/PIA00007/PIA00007~orig.jpg",
            label="storm",
            source="nasa",
            keyword="storms",
            page_url="https://images.nasa.gov/details/PIA00007",
            title="Storm 7",
            creator="NASA/JPL-Caltech/SSI",
            licence=None,
            attribution='"Storm 7" by NASA/JPL-Caltech/SSI, via https://images.nasa.gov/details/PIA00007',
            metadata={
                "id": "PIA00007",
                "provider": "nasa",
                "credit": "NASA/JPL-Caltech/SSI",
                "center": "JPL",
                "tags": ["Saturn", "Cassini-Huygens"],
                "description": "A storm on Saturn.",
                "date_taken": "2013-04-29T22:32:47Z",
                "file_size": 654321,
                "width": 2000,
                "height": 1500,
            },
        ),
    )
    assert fake.asked == ["/search?q=storms&media_type=image&page_size=100&page=1"]


async def test_an_original_that_the_search_does_not_name_is_in_the_manifest(http: Fetcher) -> None:
    items = [picture(1), picture(2, sizes=("thumb",)), picture(3, sizes=("large", "thumb"))]
    async with FakeNasa(items, {"PIA00002": files("PIA00002", "tif"), "PIA00003": files("PIA00003")}) as fake:
        found = candidates(await read(Nasa(http, fake.url), STORMS))
    assert [candidate.url for candidate in found] == [
        f"{ASSETS}/PIA00001/PIA00001~orig.jpg",
        "http://images-assets.nasa.gov/image/PIA00002/PIA00002~orig.tif",
        "http://images-assets.nasa.gov/image/PIA00003/PIA00003~orig.jpg",
    ]
    assert fake.asked[1:] == ["/asset/PIA00002", "/asset/PIA00003"]


@pytest.mark.parametrize("manifest", [None, 400, 403, "nonsense", [], [None, 5, {"href": None}, {"href": "x/a.json"}]])
async def test_without_a_manifest_the_largest_known_size_is_taken(http: Fetcher, manifest: Any) -> None:
    manifests = {} if manifest is None else {"PIA00002": manifest}
    async with FakeNasa([picture(2, sizes=("thumb", "medium", "small"))], manifests) as fake:
        (found,) = candidates(await read(Nasa(http, fake.url), STORMS))
    assert found.url == f"{ASSETS}/PIA00002/PIA00002~medium.jpg"


async def test_a_manifest_that_cannot_be_had_now_is_asked_for_later(http: Fetcher) -> None:
    async with FakeNasa([picture(2, sizes=("thumb",))], {"PIA00002": 502}) as fake:
        with pytest.raises(SourceError, match=r"NASA is failing \(502\)\. Broken\.") as caught:
            await read(Nasa(http, fake.url), STORMS)
    assert caught.value.retryable


async def test_the_id_of_a_picture_stays_one_part_of_the_path(http: Fetcher) -> None:
    odd = "50 Years/../of? Mars"
    item = picture(1, sizes=("thumb",), nasa_id=odd)
    async with FakeNasa([item], {odd: [{"href": "https://a.example/m~orig.png"}]}) as fake:
        (found,) = candidates(await read(Nasa(http, fake.url), STORMS))
    assert found.url == "https://a.example/m~orig.png"
    assert found.page_url == "https://images.nasa.gov/details/50%20Years%2F..%2Fof%3F%20Mars"


async def test_pages_are_of_100(http: Fetcher) -> None:
    async with FakeNasa(pictures(250)) as fake:
        pages = await read(Nasa(http, fake.url), STORMS)
    assert [(len(page.candidates), page.cursor) for page in pages] == [(100, "2"), (100, "3"), (50, None)]
    assert [candidate.metadata["id"] for candidate in candidates(pages)] == [f"PIA{n:05d}" for n in range(250)]
    assert len(fake.asked) == 3


async def test_it_resumes_from_every_cursor(http: Fetcher) -> None:
    items = [picture(number, sizes=("thumb",) if number % 40 == 0 else ("orig",)) for number in range(320)]
    async with FakeNasa(items, {f"PIA{n:05d}": files(f"PIA{n:05d}") for n in range(0, 320, 40)}) as fake:
        await assert_resumable(Nasa(http, fake.url), STORMS)


async def test_it_stops_at_100_pages(http: Fetcher) -> None:
    async with FakeNasa(pictures(10_150)) as fake:
        pages = await read(Nasa(http, fake.url), STORMS, "99")
    assert [(len(page.candidates), page.cursor) for page in pages] == [(100, "100"), (100, None)]
    assert len(fake.asked) == 2


async def test_a_service_that_is_less_deep_ends_there(http: Fetcher) -> None:
    async with FakeNasa(pictures(450), depth=3) as fake:
        pages = await read(Nasa(http, fake.url), STORMS)
        assert [(len(page.candidates), page.cursor) for page in pages] == [
            (100, "2"),
            (100, "3"),
            (100, "4"),
            (0, None),
        ]
        await assert_resumable(Nasa(http, fake.url), STORMS)


async def test_a_400_to_the_first_page_is_an_error_in_its_words(http: Fetcher) -> None:
    async with FakeNasa(pictures(3)) as fake:
        fake.broken = [(400, {}, b'{"reason": "Invalid search term."}')]
        with pytest.raises(
            SourceError, match=r"NASA does not accept the query \(400\)\. Invalid search term\."
        ) as caught:
            await read(Nasa(http, fake.url), STORMS)
    assert not caught.value.retryable


async def test_without_a_total_the_link_to_the_next_page_counts(http: Fetcher) -> None:
    ahead = (
        b'{"collection": {"items": [{}], "links": [{"rel": "prev"}, {"rel": "next", "href": "http://evil.example/"}]}}'
    )
    last = b'{"collection": {"items": [{}], "links": [{"rel": "prev"}, 5, null]}}'
    async with FakeNasa([]) as fake:
        fake.broken = [(200, {}, ahead), (200, {}, last)]
        pages = await read(Nasa(http, fake.url), STORMS)
    assert [page.cursor for page in pages] == ["2", None]
    assert fake.asked[1] == "/search?q=storms&media_type=image&page_size=100&page=2"


async def test_an_empty_page_is_the_last_whatever_the_total(http: Fetcher) -> None:
    async with FakeNasa([]) as fake:
        fake.broken = [(200, {}, b'{"collection": {"items": [], "metadata": {"total_hits": 900000}}}')]
        (page,) = await read(Nasa(http, fake.url), STORMS)
    assert (page.candidates, page.cursor) == ((), None)


@pytest.mark.parametrize(
    ("creators", "creator", "credit"),
    [
        ({"photographer": "Bill Ingalls", "secondary_creator": None}, "Bill Ingalls", "NASA/Bill Ingalls"),
        ({"photographer": "NASA/Joel Kowsky"}, "NASA/Joel Kowsky", "NASA/Joel Kowsky"),
        ({"secondary_creator": "ESA"}, "ESA", "NASA/ESA"),
        ({"secondary_creator": None}, None, "NASA"),
    ],
)
async def test_the_credit_names_nasa(http: Fetcher, creators: dict[str, Any], creator: str | None, credit: str) -> None:
    async with FakeNasa([picture(1, **creators)]) as fake:
        (found,) = candidates(await read(Nasa(http, fake.url), STORMS))
    assert (found.creator, found.metadata["credit"]) == (creator, credit)
    assert found.attribution == f'"Storm 1" by {credit}, via https://images.nasa.gov/details/PIA00001'


@pytest.mark.parametrize(
    ("licences", "pictures", "requests"), [({"cc0", "unknown"}, 1, 1), ({"cc0", "pdm"}, 0, 0), (None, 1, 1)]
)
async def test_no_licence_is_ever_guessed(
    http: Fetcher, licences: set[str] | None, pictures: int, requests: int
) -> None:
    wanted = None if licences is None else frozenset(licences)
    async with FakeNasa([picture(7, rights="CC0")]) as fake:
        query = Query(source="nasa", label="storm", keyword="storms", licences=wanted)
        (page,) = await read(Nasa(http, fake.url), query)
    assert [candidate.licence for candidate in page.candidates] == [None] * pictures
    assert (page.cursor, len(fake.asked)) == (None, requests)


async def test_untidy_results_are_tolerated(http: Fetcher) -> None:
    items: list[Any] = [
        "nonsense",
        None,
        {"data": "x", "links": "y"},
        {"data": [None], "links": [None, {"href": 5}, {"href": "https://a.example/x.srt", "rel": "captions"}]},
        {"links": [{"href": "https://a.example/bare.jpg", "render": "image"}]},
        picture(1, links=[], title="no link"),
        picture(2, title="a\0b\ud800", keywords="Saturn", description={"a": 1}, date_created=[]),
    ]
    async with FakeNasa(items) as fake:
        bare, two = candidates(await read(Nasa(http, fake.url), STORMS))
    assert bare == Candidate(
        url="https://a.example/bare.jpg",
        label="storm",
        source="nasa",
        keyword="storms",
        attribution="Untitled image by NASA",
        metadata={"provider": "nasa", "credit": "NASA"},
    )
    assert two.title == "ab?"
    assert two.metadata.keys() == {"id", "provider", "credit", "center", "file_size", "width", "height"}
    assert fake.asked[1:] == ["/asset/PIA00001"]


async def test_an_answer_without_a_collection_is_one_empty_page(http: Fetcher) -> None:
    async with FakeNasa([]) as fake:
        fake.broken = [(200, {}, b'{"collection": [1]}')]
        (page,) = await read(Nasa(http, fake.url), STORMS)
    assert (page.candidates, page.cursor) == ((), None)


async def test_a_429_is_waited_out(http: Fetcher) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async with FakeNasa(pictures(2)) as fake:
        fake.broken = [(429, {"Retry-After": "50"}, b"")]
        assert len(candidates(await read(Nasa(http, fake.url, wait), STORMS))) == 2
    assert waits == pytest.approx([50], abs=2)


@pytest.mark.parametrize(
    ("query", "cursor", "sentence"),
    [
        (Query(source="nasa", label="x", keyword=" "), None, "NASA needs a keyword"),
        (Query(source="nasa", label="x", keyword="x", options={"size": 1}), None, r"NASA has no option size\."),
        (STORMS, "101", "'101' is not a cursor of NASA: it is a page number up to 100"),
        (STORMS, "next", "not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, query: Query, cursor: str | None, sentence: str
) -> None:
    async with FakeNasa(pictures(3)) as fake:
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(Nasa(http, fake.url), query, cursor)
    assert not caught.value.retryable
    assert fake.asked == []
