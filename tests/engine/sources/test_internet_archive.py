from __future__ import annotations

import json
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher
from gleanset.sources.internet_archive import InternetArchive
from gleanset.types import Candidate, Licence, Query
from tests.engine.sources.fake_internet_archive import BY_SA, FakeInternetArchive, file, item, queried
from tests.engine.sources.reading import assert_resumable, candidates, read

CATS = Query(source="internet-archive", label="cat", keyword="cats")
CC = "creativecommons.org"


def items(count: int) -> list[dict[str, Any]]:
    return [item(f"cat-{number}") for number in range(count)]


def names(found: list[Candidate]) -> list[str]:
    return [candidate.url.partition("/download/")[2] for candidate in found]


async def test_a_candidate_carries_everything_the_service_knows(http: Fetcher) -> None:
    async with FakeInternetArchive([item("cat 7", file("sub dir/cat #7.jpg"))]) as fake:
        (page,) = await read(InternetArchive(http, fake.url), CATS)
    page_url = f"{fake.url}/details/cat%207"
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url=f"{fake.url}/download/cat%207/sub%20dir/cat%20%237.jpg",
            label="cat",
            source="internet-archive",
            keyword="cats",
            page_url=page_url,
            title="Picture of cat 7",
            creator="Ada Example",
            licence=Licence("by-sa", "4.0", BY_SA),
            attribution=f'"Picture of cat 7" by Ada Example, CC BY-SA 4.0 ({BY_SA}), via {page_url}',
            metadata={
                "id": "cat 7",
                "provider": "internet-archive",
                "tags": ["cats", "mats"],
                "collection": ["opensource_image", "community"],
                "description": "A cat & a mat",
                "date": "2019-05-04",
                "file": "sub dir/cat #7.jpg",
                "format": "JPEG",
                "md5": "0123456789abcdef0123456789abcdef",
                "sha1": "0123456789abcdef0123456789abcdef01234567",
                "file_size": 54321,
            },
        ),
    )
    assert fake.asked == [{"q": "mediatype:image AND (cats)", "fields": "identifier", "count": "100"}]


async def test_it_follows_the_cursor_to_the_end(http: Fetcher) -> None:
    async with FakeInternetArchive(items(215)) as fake:
        pages = await read(InternetArchive(http, fake.url), CATS)
    assert names(candidates(pages)) == [f"cat-{number}/cat-{number}.jpg" for number in range(215)]
    assert [len(page.candidates) for page in pages] == [10] * 21 + [5]
    assert len(fake.asked) == 3
    assert sorted(fake.shown) == sorted(f"cat-{number}" for number in range(215))


@pytest.mark.parametrize("count", [1, 10, 100, 125])
async def test_it_resumes_from_every_cursor(http: Fetcher, count: int) -> None:
    async with FakeInternetArchive(items(count)) as fake:
        await assert_resumable(InternetArchive(http, fake.url), CATS)


async def test_a_resumed_search_does_not_ask_again_for_the_items_before(http: Fetcher) -> None:
    async with FakeInternetArchive(items(30)) as fake:
        await read(InternetArchive(http, fake.url), CATS, "20@")
    assert sorted(fake.shown) == sorted(f"cat-{number}" for number in range(20, 30))


async def test_no_result_is_one_empty_page(http: Fetcher) -> None:
    async with FakeInternetArchive([]) as fake:
        (page,) = await read(InternetArchive(http, fake.url), CATS)
    assert (page.candidates, page.cursor) == ((), None)


async def test_a_batch_that_shrank_behind_a_cursor_leads_on_to_the_next(http: Fetcher) -> None:
    async with FakeInternetArchive(items(105)) as fake:
        thin = {"items": [{"identifier": "cat-1"}], "cursor": "eyJhZnRlciI6IDEwMH0="}
        fake.broken = [(200, {}, json.dumps(thin).encode())]
        pages = await read(InternetArchive(http, fake.url), CATS, "50@")
    assert names(candidates(pages)) == [f"cat-{number}/cat-{number}.jpg" for number in range(100, 105)]
    assert [page.cursor for page in pages] == ["0@eyJhZnRlciI6IDEwMH0=", None]


async def test_only_pictures_that_were_given_to_the_archive_are_taken(http: Fetcher) -> None:
    files = [
        file("a.jpg"),
        file("a_thumb.jpg", source="derivative", format="JPEG Thumb", original="a.jpg"),
        file("__ia_thumb.jpg", format="Item Tile"),
        file("x_itemimage.png", format="Item Image"),
        file("small_thumb.jpg", format="JPEG"),
        file(".thumbs/b.jpg", format="JPEG"),
        file("b.PNG", format="PNG"),
        file("b.jpg", source="derivative", format="JPEG", original="b.PNG"),
        file("c.tif", format="TIFF"),
        file("noextension", format="JPEG"),
        file("odd.jpeg", format=None),
        file("book.pdf", format="Text PDF"),
        file("x_meta.xml", source="metadata", format="Metadata"),
        file("secret.jpg", private="true"),
        file("tilework.jpg"),
        "nonsense",
        None,
        {"format": "JPEG"},
        file(["a list"]),  # pyright: ignore[reportArgumentType]
    ]
    async with FakeInternetArchive([item("x", *files)]) as fake:
        found = candidates(await read(InternetArchive(http, fake.url), CATS))
    assert names(found) == ["x/a.jpg", "x/b.PNG", "x/c.tif", "x/noextension", "x/odd.jpeg", "x/tilework.jpg"]


@pytest.mark.parametrize(("options", "taken"), [({}, 10), ({"per_item": 3}, 3), ({"per_item": "40"}, 25)])
async def test_an_item_gives_so_many_pictures_at_most(http: Fetcher, options: dict[str, Any], taken: int) -> None:
    big = item("big", *(file(f"{number}.jpg") for number in range(25)))
    query = Query(source="internet-archive", label="x", keyword="x", options=options)
    async with FakeInternetArchive([big, item("small")]) as fake:
        found = candidates(await read(InternetArchive(http, fake.url), query))
    assert names(found) == [*(f"big/{number}.jpg" for number in range(taken)), "small/small.jpg"]


@pytest.mark.parametrize(
    ("keyword", "searched"),
    [
        ("red cats", "red cats"),
        ("cats) OR mediatype:(movies", r"cats\) or mediatype\:\(movies"),
        ('"cat" AND NOT dog', r"\"cat\" and not dog"),
        ("[a TO z]", r"\[a to z\]"),
        ("c++ && a/b || !x^2~*?", r"c\+\+ \&\& a\/b \|\| \!x\^2\~\*\?"),
        ("back\\slash <b>", r"back\\slash b"),
        ("ORANGE TOWER", "ORANGE TOWER"),
        ("chats\0 noirs é", "chats noirs é"),
        ("k" * 300, "k" * 200),
    ],
)
async def test_a_keyword_is_words_and_never_an_operator(http: Fetcher, keyword: str, searched: str) -> None:
    query = Query(source="internet-archive", label="x", keyword=keyword)
    async with FakeInternetArchive(items(1)) as fake:
        assert len(candidates(await read(InternetArchive(http, fake.url), query))) == 1
    assert fake.asked[0]["q"] == f"mediatype:image AND ({searched})"


@pytest.mark.parametrize(
    ("licences", "clause", "found"),
    [
        ({"by"}, r" AND licenseurl:(*licenses\/by\/*)", ["by"]),
        ({"cc0", "by-sa"}, r" AND licenseurl:(*licenses\/by\-sa\/* OR *publicdomain\/zero\/*)", ["by-sa", "cc0"]),
        ({"sampling+"}, r" AND licenseurl:(*licenses\/sampling\+\/*)", []),
        ({"by", "unknown"}, "", ["by", "by-sa", "cc0", "none"]),
        (set[str](), "", ["by", "by-sa", "cc0", "none"]),
        (None, "", ["by", "by-sa", "cc0", "none"]),
    ],
)
async def test_the_service_keeps_to_the_licences(
    http: Fetcher, licences: set[str] | None, clause: str, found: list[str]
) -> None:
    shelf = [
        item("by", licenseurl=f"http://{CC}/licenses/by/3.0/"),
        item("by-sa", licenseurl=f"https://{CC}/licenses/by-sa/4.0/"),
        item("cc0", licenseurl=f"http://{CC}/publicdomain/zero/1.0/"),
        item("none", licenseurl=None),
    ]
    wanted = None if licences is None else frozenset(licences)
    query = Query(source="internet-archive", label="x", keyword="x", licences=wanted)
    async with FakeInternetArchive(shelf) as fake:
        given = candidates(await read(InternetArchive(http, fake.url), query))
    assert fake.asked[0]["q"] == f"mediatype:image AND (x){clause}"
    assert [candidate.metadata["id"] for candidate in given] == found


async def test_untidy_items_are_tolerated(http: Fetcher) -> None:
    untidy = [
        item("lists", title=["One", "Two"], creator=["Ada", "Bob", 7], subject="cats", licenseurl=[BY_SA]),
        item("bare") | {"metadata": {"identifier": "bare"}},
        item("odd", title={"a": 1}, creator=None, licenseurl="https://example.org/terms", date="\0", description=3),
        item("dark") | {"is_dark": True},
        item("lent", **{"access-restricted-item": "true"}),
        item("nofiles") | {"files": "none"},
    ]
    async with FakeInternetArchive(untidy) as fake:
        lists, bare, odd = candidates(await read(InternetArchive(http, fake.url), CATS))
    assert (lists.title, lists.creator, lists.metadata["tags"]) == ("One", "Ada, Bob, 7", ["cats"])
    assert lists.licence == Licence("by-sa", "4.0", BY_SA)
    assert (bare.title, bare.creator, bare.licence, bare.attribution) == (None, None, None, None)
    assert bare.metadata["file"] == "bare.jpg"
    assert odd.title is None
    assert odd.licence == Licence("other", None, "https://example.org/terms")
    assert odd.metadata["description"] == "3"


@pytest.mark.parametrize(
    "answer",
    [(404, {}, b""), (403, {}, b'{"error": "no"}'), (200, {}, b"[]"), (200, {}, b"{}"), (200, {}, b'"gone"')],
)
async def test_an_item_that_is_not_shown_is_passed_over(
    http: Fetcher, answer: tuple[int, dict[str, str], bytes]
) -> None:
    async with FakeInternetArchive(items(3)) as fake:
        fake.broken_items = {"cat-1": answer}
        found = candidates(await read(InternetArchive(http, fake.url), CATS))
    assert names(found) == ["cat-0/cat-0.jpg", "cat-2/cat-2.jpg"]


async def test_an_item_that_fails_is_an_error_to_come_back_to(http: Fetcher) -> None:
    async with FakeInternetArchive(items(25)) as fake:
        fake.broken_items = {"cat-12": (503, {}, b"")}
        pages = InternetArchive(http, fake.url).pages(CATS, None)
        assert (await anext(pages)).cursor == "10@"
        with pytest.raises(SourceError, match=r"The Internet Archive is failing \(503\)") as caught:
            await anext(pages)
        assert caught.value.retryable
        fake.broken_items = {}
        assert len(candidates(await read(InternetArchive(http, fake.url), CATS, "10@"))) == 15


@pytest.mark.parametrize(
    "body",
    [
        {"items": None},
        {"items": [None, "x", {"identifier": None}, {"identifier": ["x"]}, {"identifier": "  "}]},
        {"items": {"identifier": "cat-0"}, "cursor": {"a": 1}},
        {},
    ],
)
async def test_hits_that_are_none_are_an_empty_page(http: Fetcher, body: dict[str, Any]) -> None:
    async with FakeInternetArchive(items(3)) as fake:
        fake.broken = [(200, {}, json.dumps(body).encode())]
        (page,) = await read(InternetArchive(http, fake.url), CATS)
    assert (page.candidates, page.cursor, fake.shown) == ((), None, [])


async def test_a_search_that_goes_in_circles_ends(http: Fetcher) -> None:
    again = json.dumps({"items": [], "cursor": "x"}).encode()
    async with FakeInternetArchive(items(3)) as fake:
        fake.broken = [(200, {}, again)] * 5
        with pytest.raises(SourceError, match="goes on at the same place"):
            await read(InternetArchive(http, fake.url), CATS)
    assert len(fake.asked) == 2


async def test_what_the_service_says_against_a_query_is_told(http: Fetcher) -> None:
    async with FakeInternetArchive(items(3)) as fake:
        with pytest.raises(SourceError, match=r"does not accept the query \(400\)\. ") as caught:
            await read(InternetArchive(http, fake.url), CATS, "0@nonsense")
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("query", "cursor", "sentence"),
    [
        (Query(source="internet-archive", label="x"), None, "needs a keyword"),
        (Query(source="internet-archive", label="x", keyword=" *?() "), None, "needs a keyword"),
        (Query(source="internet-archive", label="x", keyword="x", options={"size": 1}), None, "no option size"),
        (Query(source="internet-archive", label="x", keyword="x", options={"per_item": 0}), None, "per_item is"),
        (Query(source="internet-archive", label="x", keyword="x", options={"per_item": "all"}), None, "per_item is"),
        (CATS, "20", "not a cursor"),
        (CATS, "-1@", "not a cursor"),
        (CATS, "9999@x", "not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, query: Query, cursor: str | None, sentence: str
) -> None:
    async with FakeInternetArchive(items(3)) as fake:
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(InternetArchive(http, fake.url), query, cursor)
    assert not caught.value.retryable
    assert fake.asked == []


def test_the_fake_refuses_what_is_not_escaped() -> None:
    with pytest.raises(ValueError, match="Unable to parse"):
        queried("mediatype:image AND (cats OR mediatype:movies)")
