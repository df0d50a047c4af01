from __future__ import annotations

import json
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources.flickr import LICENCES, Flickr
from gleanset.sources.licence import parse_licences
from gleanset.types import Candidate, Licence, Query
from tests.engine.sources.fake_flickr import NEWEST, FakeFlickr, photo
from tests.engine.sources.fake_keyed import KEY
from tests.engine.sources.reading import assert_resumable, candidates, read

CATS = Query(source="flickr", label="cat", keyword="cats")
CC = "https://creativecommons.org"


def photos(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [photo(number, **changes) for number in range(count)]


def urls(numbers: range) -> list[str]:
    return [photo(number)["url_o"] for number in numbers]


def wanting(*words: str) -> Query:
    return Query(source="flickr", label="cat", keyword="cats", licences=parse_licences(words))


async def test_a_candidate_carries_everything_the_service_knows(http: Fetcher) -> None:
    async with FakeFlickr([photo(7)]) as fake:
        (page,) = await read(Flickr(http, KEY, fake.url), CATS)
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url="https://live.staticflickr.com/65535/7_5ec4e7_o.jpg",
            label="cat",
            source="flickr",
            keyword="cats",
            page_url="https://www.flickr.com/photos/12345678@N00/7",
            title="Cat 7",
            creator="Ada Example",
            creator_url="https://www.flickr.com/people/12345678@N00/",
            licence=Licence("by", "2.0", f"{CC}/licenses/by/2.0/"),
            attribution=f'"Cat 7" by Ada Example, CC BY 2.0 ({CC}/licenses/by/2.0/), '
            "via https://www.flickr.com/photos/12345678@N00/7",
            metadata={
                "id": "7",
                "provider": "flickr",
                "tags": ["cat", "mat", "sleeping"],
                "description": "A cat & a mat",
                "date_taken": "2019-05-04 12:00:00",
                "uploaded": NEWEST - 420,
                "width": 4000,
                "height": 3000,
            },
        ),
    )


@pytest.mark.parametrize(
    ("missing", "size", "width"), [((), "o", 4000), (("url_o",), "b", 1024), (("url_o", "url_l"), "z", 640)]
)
async def test_the_largest_size_that_the_owner_gives_is_taken(
    http: Fetcher, missing: tuple[str, ...], size: str, width: int
) -> None:
    async with FakeFlickr([photo(7, **dict.fromkeys(missing))]) as fake:
        (found,) = candidates(await read(Flickr(http, KEY, fake.url), CATS))
    assert found.url == f"https://live.staticflickr.com/65535/7_5ec4e7_{size}.jpg"
    assert found.metadata["width"] == width


async def test_a_photo_without_a_size_is_left_out(http: Fetcher) -> None:
    async with FakeFlickr([photo(7, url_o=None, url_l=" ", url_z=[]), photo(8)]) as fake:
        found = candidates(await read(Flickr(http, KEY, fake.url), CATS))
    assert [one.url for one in found] == urls(range(8, 9))


async def test_it_asks_for_pages_of_500_newest_first(http: Fetcher) -> None:
    async with FakeFlickr(photos(1100)) as fake:
        pages = await read(Flickr(http, KEY, fake.url), CATS)
    assert [len(page.candidates) for page in pages] == [500, 500, 100]
    assert [one.url for one in candidates(pages)] == urls(range(1100))
    assert [(q["page"], q["per_page"], q["text"], q["sort"], q["safe_search"]) for q in fake.asked] == [
        (page, "500", "cats", "date-posted-desc", "1") for page in ("1", "2", "3")
    ]
    assert all("license" not in q and "max_upload_date" not in q for q in fake.asked)


async def test_behind_4000_results_it_goes_on_at_the_oldest_upload_date(http: Fetcher) -> None:
    async with FakeFlickr(photos(9000)) as fake:
        pages = await read(Flickr(http, KEY, fake.url), CATS)
    found = [one.url for one in candidates(pages)]
    assert list(dict.fromkeys(found)) == urls(range(9000))
    assert len(found) == 9002, "the photos of the two border seconds come twice"
    borders = [NEWEST - 60 * 3999, NEWEST - 60 * 7998]
    assert [page.cursor for page in pages] == [
        *map(str, range(2, 9)),
        *(f"{number}@{borders[0]}" for number in range(1, 9)),
        *(f"{number}@{borders[1]}" for number in (1, 2, 3)),
        None,
    ]


async def test_photos_of_one_second_are_not_lost_at_a_border(http: Fetcher) -> None:
    busy = [photo(number, dateupload=str(NEWEST - (0 if number < 3990 else 60))) for number in range(4300)]
    async with FakeFlickr(busy) as fake:
        found = candidates(await read(Flickr(http, KEY, fake.url), CATS))
    assert list(dict.fromkeys(one.url for one in found)) == urls(range(4300))


async def test_thousands_of_one_second_do_not_stop_it(http: Fetcher) -> None:
    crowd = [photo(number, dateupload=str(NEWEST)) for number in range(4600)]
    async with FakeFlickr([*crowd, photo(4600)]) as fake:
        found = candidates(await read(Flickr(http, KEY, fake.url), CATS))
    assert list(dict.fromkeys(one.url for one in found)) == [*urls(range(4000)), *urls(range(4600, 4601))]
    assert len(fake.asked) == 17


async def test_exactly_4000_results_are_one_search(http: Fetcher) -> None:
    async with FakeFlickr(photos(4000)) as fake:
        pages = await read(Flickr(http, KEY, fake.url), CATS)
    assert ([len(page.candidates) for page in pages], pages[-1].cursor) == ([500] * 8, None)


async def test_it_resumes_from_every_cursor(http: Fetcher) -> None:
    async with FakeFlickr(photos(5200)) as fake:
        await assert_resumable(Flickr(http, KEY, fake.url), CATS)


async def test_a_service_that_ignores_the_date_does_not_keep_it_for_ever(http: Fetcher) -> None:
    later = json.dumps({"stat": "ok", "photos": {"pages": 99, "photo": photos(500)}}).encode()
    async with FakeFlickr([]) as fake:
        fake.broken = [(200, {}, later)]
        with pytest.raises(SourceError, match="uploaded later than asked for") as caught:
            await read(Flickr(http, KEY, fake.url), CATS, "8@1000000000")
    assert caught.value.retryable


@pytest.mark.parametrize("moments", [[None], ["soon", True, -5, 0, 10**40]])
async def test_without_upload_dates_it_ends_at_4000(http: Fetcher, moments: list[Any]) -> None:
    undated = [photo(number, dateupload=moment) for number, moment in enumerate(moments)]
    answer = json.dumps({"stat": "ok", "photos": {"pages": 99, "photo": undated}}).encode()
    async with FakeFlickr([]) as fake:
        fake.broken = [(200, {}, answer)]
        (page,) = await read(Flickr(http, KEY, fake.url), CATS, "8")
    assert (len(page.candidates), page.cursor) == (len(moments), None)


@pytest.mark.parametrize(
    ("number", "licence"),
    [
        ("0", Licence("all-rights-reserved", None, None)),
        ("1", Licence("by-nc-sa", "2.0", f"{CC}/licenses/by-nc-sa/2.0/")),
        ("2", Licence("by-nc", "2.0", f"{CC}/licenses/by-nc/2.0/")),
        ("3", Licence("by-nc-nd", "2.0", f"{CC}/licenses/by-nc-nd/2.0/")),
        ("4", Licence("by", "2.0", f"{CC}/licenses/by/2.0/")),
        ("5", Licence("by-sa", "2.0", f"{CC}/licenses/by-sa/2.0/")),
        ("6", Licence("by-nd", "2.0", f"{CC}/licenses/by-nd/2.0/")),
        ("7", Licence("no-known-copyright-restrictions", None, "https://www.flickr.com/commons/usage/")),
        ("8", Licence("united-states-government-work", None, "https://www.usa.gov/copyright.shtml")),
        ("9", Licence("cc0", "1.0", f"{CC}/publicdomain/zero/1.0/")),
        ("10", Licence("pdm", "1.0", f"{CC}/publicdomain/mark/1.0/")),
        ("11", Licence("by", "4.0", f"{CC}/licenses/by/4.0/")),
        ("12", Licence("by-sa", "4.0", f"{CC}/licenses/by-sa/4.0/")),
        ("13", Licence("by-nd", "4.0", f"{CC}/licenses/by-nd/4.0/")),
        ("14", Licence("by-nc", "4.0", f"{CC}/licenses/by-nc/4.0/")),
        ("15", Licence("by-nc-sa", "4.0", f"{CC}/licenses/by-nc-sa/4.0/")),
        (16, Licence("by-nc-nd", "4.0", f"{CC}/licenses/by-nc-nd/4.0/")),
        ("17", None),
        ("-1", None),
        ("by", None),
        (None, None),
        (True, None),
    ],
)
async def test_licence_numbers(http: Fetcher, number: Any, licence: Licence | None) -> None:
    async with FakeFlickr([photo(1, license=number)]) as fake:
        (found,) = candidates(await read(Flickr(http, KEY, fake.url), CATS))
    assert found.licence == licence


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["cc0,by"], "4,9,11"),
        (["commercial"], "4,5,6,9,10,11,12,13"),
        (["pdm", "all-rights-reserved"], "0,10"),
        (["united-states-government-work,no-known-copyright-restrictions,unknown"], "7,8"),
    ],
)
async def test_licences_become_the_numbers_of_the_service(http: Fetcher, words: list[str], numbers: str) -> None:
    everything = [photo(number, license=str(number)) for number in LICENCES]
    async with FakeFlickr(everything) as fake:
        found = candidates(await read(Flickr(http, KEY, fake.url), wanting(*words)))
    assert [query["license"] for query in fake.asked] == [numbers]
    assert [one.metadata["id"] for one in found] == numbers.split(",")


async def test_licences_that_nothing_has_are_not_asked_for(http: Fetcher) -> None:
    async with FakeFlickr(photos(3)) as fake:
        (page,) = await read(Flickr(http, KEY, fake.url), wanting("pexels", "sampling+"))
    assert (page.candidates, page.cursor, fake.asked) == ((), None, [])


@pytest.mark.parametrize(
    ("code", "message", "sentence", "retryable"),
    [
        (100, "Invalid API Key (Key not found)", r"Flickr does not know the key \(100\): Invalid .* Get one at", False),
        (105, "Service currently unavailable", r"Flickr refuses the query \(105\): Service currently unav", True),
        (10, "Sorry, the Flickr search API is down.", r"refuses the query \(10\): Sorry", True),
        (0, "Sorry, the Flickr API service is down.", r"refuses the query \(0\): Sorry", True),
        (3, "Parameterless searches have been disabled.", r"refuses the query \(3\): Parameterless", False),
        (1, "x" * 9000, r"refuses the query \(1\): x{500}$", False),
        ("odd", {"no": "text"}, r"refuses the query \(None\): no reason given", False),
    ],
)
async def test_errors_with_status_200(http: Fetcher, code: Any, message: Any, sentence: str, retryable: bool) -> None:
    async with FakeFlickr([]) as fake:
        fake.broken = [(200, {}, json.dumps({"stat": "fail", "code": code, "message": message}).encode())]
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(Flickr(http, KEY, fake.url), CATS)
    assert caught.value.retryable is retryable


async def test_a_wrong_key_is_an_error_for_good(http: Fetcher) -> None:
    async with FakeFlickr(photos(3)) as fake:
        with pytest.raises(SourceError, match=r"does not know the key \(100\).* set it in GLEANSET_SOURCE") as caught:
            await read(Flickr(http, "another", fake.url), CATS)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "answer", [{"stat": "ok"}, {"stat": "ok", "photos": []}, {"stat": "ok", "photos": {"photo": 3}}]
)
async def test_an_answer_without_photos_is_the_end(http: Fetcher, answer: Any) -> None:
    async with FakeFlickr([]) as fake:
        fake.broken = [(200, {}, json.dumps(answer).encode())]
        (page,) = await read(Flickr(http, KEY, fake.url), CATS)
    assert (page.candidates, page.cursor) == ((), None)


async def test_untidy_results_are_tolerated(http: Fetcher) -> None:
    results: list[Any] = [
        photo(1),
        photo(1, url_o="https://live.staticflickr.com/copy.jpg"),
        {"url_l": "https://live.staticflickr.com/bare.jpg"},
        "nonsense",
        None,
        [photo(9)],
        photo(4, title={"_content": "a\0b\ud800"}, description="<p>plain</p>", tags=7, width_o="4000", height_o="tall"),
        photo(5, owner="a/../b", ownername=None, license=[], title=None, description={"_content": None}),
    ]
    async with FakeFlickr(results) as fake:
        one, bare, four, five = candidates(await read(Flickr(http, KEY, fake.url), CATS))
    assert one.url == photo(1)["url_o"]
    assert bare == Candidate(
        url="https://live.staticflickr.com/bare.jpg", label="cat", source="flickr", keyword="cats",
        metadata={"provider": "flickr"},
    )  # fmt: skip
    assert (four.title, four.metadata["description"], four.metadata["tags"]) == ("ab?", "plain", ["7"])
    assert four.metadata["width"] == 4000
    assert "height" not in four.metadata
    assert five.page_url == "https://www.flickr.com/photos/a%2F..%2Fb/5"
    assert (five.title, five.creator, five.licence, five.attribution) == (None, None, None, None)


@pytest.mark.parametrize(
    ("query", "cursor", "sentence"),
    [
        (Query(source="flickr", label="x"), None, "Flickr needs a keyword"),
        (Query(source="flickr", label="x", keyword="x", options={"colour": "red"}), None, "no option colour"),
        (CATS, "next", "not a cursor of Flickr"),
        (CATS, "9", "not a cursor"),
        (CATS, "0", "not a cursor"),
        (CATS, "1@", "not a cursor"),
        (CATS, "1@99999999999", "not a cursor"),
        (CATS, "1@5\n", "not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, query: Query, cursor: str | None, sentence: str
) -> None:
    async with FakeFlickr(photos(3)) as fake:
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(Flickr(http, KEY, fake.url), query, cursor)
    assert not caught.value.retryable
    assert fake.asked == []
