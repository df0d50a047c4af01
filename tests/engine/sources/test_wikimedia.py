from __future__ import annotations

import json
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources.wikimedia import Wikimedia
from gleanset.types import Candidate, Licence, Query
from tests.engine.sources.fake_wikimedia import FakeWikimedia, api_error, file
from tests.engine.sources.reading import assert_resumable, candidates, read

CATS = Query(source="wikimedia", label="cat", keyword="cats")


def files(count: int) -> list[dict[str, Any]]:
    """Files whose ids run against the order in which the search ranks them."""
    return [file(10_000 - number) for number in range(count)]


async def test_a_candidate_carries_everything_the_service_knows(http: Fetcher) -> None:
    async with FakeWikimedia([file(7)]) as fake:
        (page,) = await read(Wikimedia(http, fake.url), CATS)
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url="https://upload.wikimedia.org/wikipedia/commons/a/ab/Cat_7.jpg",
            label="cat",
            source="wikimedia",
            keyword="cats",
            page_url="https://commons.wikimedia.org/wiki/File:Cat_7.jpg",
            title="Cat 7",
            creator="Ada Lovelace",
            creator_url="https://commons.wikimedia.org/wiki/User:Ada",
            licence=Licence("by-sa", "4.0", "https://creativecommons.org/licenses/by-sa/4.0"),
            attribution='"Cat 7" by Ada Lovelace, CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0), '
            "via https://commons.wikimedia.org/wiki/File:Cat_7.jpg",
            metadata={
                "id": 7,
                "provider": "wikimedia",
                "tags": ["Cats", "Cats on mats", "Self-published work"],
                "description": 'A "cat" on a mat',
                "credit": "Own work",
                "usage_terms": "Creative Commons Attribution-Share Alike 4.0",
                "attribution_required": True,
                "date_taken": "2019-05-04 12:00:00",
                "uploader": "Uploader",
                "uploaded": "2019-05-05T08:00:00Z",
                "mime": "image/jpeg",
                "mediatype": "BITMAP",
                "sha1": "7".rjust(40, "0"),
                "file_size": 54321,
                "width": 4000,
                "height": 3000,
            },
        ),
    )
    assert fake.asked[0]["gsrsearch"] == "cats filetype:bitmap"


@pytest.mark.parametrize("part", [50, 7, 1])
async def test_partial_batches_are_merged_in_the_order_of_the_search(http: Fetcher, part: int) -> None:
    async with FakeWikimedia(files(60), part=part) as fake:
        pages = await read(Wikimedia(http, fake.url), CATS)
    assert [len(page.candidates) for page in pages] == [50, 10]
    assert [candidate.metadata["id"] for candidate in candidates(pages)] == [10_000 - number for number in range(60)]
    assert len(fake.asked) == -(-50 // part) + -(-10 // part)


@pytest.mark.parametrize("part", [50, 20])
async def test_it_resumes_from_every_cursor(http: Fetcher, part: int) -> None:
    async with FakeWikimedia(files(170), part=part) as fake:
        await assert_resumable(Wikimedia(http, fake.url), CATS)


async def test_properties_of_one_file_that_come_in_parts_are_joined(http: Fetcher) -> None:
    whole = file(1)
    info = whole["imageinfo"][0]
    early = whole | {"imageinfo": [{key: value for key, value in info.items() if key != "extmetadata"}]}
    late = {"pageid": 1, "imageinfo": [{"extmetadata": info["extmetadata"]}]}
    parts = [
        {"query": {"pages": [early]}, "continue": {"iistart": "x", "continue": "||"}},
        {"query": {"pages": [late]}, "batchcomplete": True},
    ]
    async with FakeWikimedia([whole]) as fake:
        expected = candidates(await read(Wikimedia(http, fake.url), CATS))
        fake.broken = [(200, {}, json.dumps(part).encode()) for part in parts]
        assert candidates(await read(Wikimedia(http, fake.url), CATS)) == expected
        assert fake.asked[-1]["iistart"] == "x"


async def test_it_stops_where_the_search_engine_does(http: Fetcher) -> None:
    async with FakeWikimedia([file(number) for number in range(10_050)]) as fake:
        pages = await read(Wikimedia(http, fake.url), CATS, json.dumps({"gsroffset": 9_900, "continue": "gsroffset||"}))
    assert [len(page.candidates) for page in pages] == [50, 50]
    assert pages[-1].cursor is None


async def test_no_result_is_one_empty_page(http: Fetcher) -> None:
    async with FakeWikimedia([]) as fake:
        (page,) = await read(Wikimedia(http, fake.url), CATS)
    assert (page.candidates, page.cursor) == ((), None)


async def test_only_pictures_with_a_url_are_candidates(http: Fetcher) -> None:
    untidy = [
        file(1, mediatype="VIDEO"),
        file(2, mediatype="DRAWING"),
        file(3, url=None),
        file(4) | {"imageinfo": []},
        {"ns": 6, "title": "File:Gone.jpg", "missing": True},
        file(6, {}, width=None),
    ]
    async with FakeWikimedia(untidy) as fake:
        drawing, bare = candidates(await read(Wikimedia(http, fake.url), CATS))
    assert drawing.metadata["mediatype"] == "DRAWING"
    assert bare.title == "Cat 6"
    assert (bare.creator, bare.licence, bare.attribution) == (None, None, None)
    assert "width" not in bare.metadata


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        (
            {"LicenseShortName": "CC0", "LicenseUrl": "http://creativecommons.org/publicdomain/zero/1.0/deed.en"},
            "cc0 1.0",
        ),
        ({"LicenseShortName": "Public domain"}, "publicdomain None"),
        ({"LicenseShortName": "Attribution"}, "attribution None"),
        ({"LicenseShortName": "CC BY-SA 3.0 de"}, "by-sa 3.0"),
        ({"LicenseShortName": "<b>CC BY 2.5</b>"}, "by 2.5"),
        ({"LicenseShortName": "GFDL"}, "gfdl None"),
        ({"UsageTerms": "Creative Commons Attribution-Share Alike 2.0"}, "by-sa 2.0"),
    ],
)
async def test_licences(http: Fetcher, fields: dict[str, str], licence: str) -> None:
    async with FakeWikimedia([file(1, fields)]) as fake:
        (found,) = candidates(await read(Wikimedia(http, fake.url), CATS))
    assert found.licence is not None
    assert f"{found.licence.code} {found.licence.version}" == licence
    assert found.licence.url == fields.get("LicenseUrl")


async def test_a_stated_attribution_wins(http: Fetcher) -> None:
    fields = {"Attribution": "<i>Photo: Ada</i>, CC BY", "Artist": "Ada", "LicenseShortName": "CC BY 4.0"}
    async with FakeWikimedia([file(1, fields)]) as fake:
        (found,) = candidates(await read(Wikimedia(http, fake.url), CATS))
    assert (found.attribution, found.creator_url) == ("Photo: Ada, CC BY", None)


@pytest.mark.parametrize(
    ("code", "retryable"),
    [("ratelimited", True), ("maxlag", True), ("internal_api_error_DBError", True), ("bad", False)],
)
async def test_errors_come_with_status_200(http: Fetcher, code: str, retryable: bool) -> None:
    async with FakeWikimedia(files(3)) as fake:
        fake.broken = [api_error(code, "You've exceeded <b>your</b> limit.")]
        with pytest.raises(SourceError, match=rf"refuses the query \({code}\): You've exceeded your limit\.") as caught:
            await read(Wikimedia(http, fake.url), CATS)
    assert caught.value.retryable is retryable


async def test_a_429_is_waited_out(http: Fetcher) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async with FakeWikimedia(files(3)) as fake:
        fake.broken = [(429, {"Retry-After": "45"}, b"Too many requests")]
        assert len(candidates(await read(Wikimedia(http, fake.url, wait), CATS))) == 3
    assert waits == pytest.approx([45], abs=2)


async def test_a_search_that_goes_in_circles_ends(http: Fetcher) -> None:
    again = json.dumps({"continue": {"gsroffset": 50, "continue": "gsroffset||"}}).encode()
    async with FakeWikimedia(files(3)) as fake:
        fake.broken = [(200, {}, again)] * 5
        with pytest.raises(SourceError, match="goes on at the same place"):
            await read(Wikimedia(http, fake.url), CATS)
    assert len(fake.asked) == 2


@pytest.mark.parametrize(
    ("query", "cursor", "sentence"),
    [
        (Query(source="wikimedia", label="x"), None, "needs a keyword"),
        (Query(source="wikimedia", label="x", keyword="x", options={"size": "large"}), None, "no option size"),
        (CATS, "50", "not a cursor"),
        (CATS, "{", "not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, query: Query, cursor: str | None, sentence: str
) -> None:
    async with FakeWikimedia(files(3)) as fake:
        with pytest.raises(SourceError, match=sentence):
            await read(Wikimedia(http, fake.url), query, cursor)
    assert fake.asked == []
