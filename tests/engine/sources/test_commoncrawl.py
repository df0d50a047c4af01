from __future__ import annotations

import json
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.sources.commoncrawl import INFO, CommonCrawl
from gleanset.types import Candidate, Pace, Page, Query
from tests.engine.sources.fake_commoncrawl import NEWEST, OLDER, FakeCommonCrawl, capture
from tests.engine.sources.reading import assert_resumable, candidates, read

SITE = Query(source="commoncrawl", label="photo", keyword="example.com")
FILTERS = ["=status:200", "~mime:image/.*"]


def photo(number: int) -> str:
    return f"https://example.com/photos/{number}.jpg"


def captures(count: int) -> list[dict[str, Any] | bytes]:
    return [capture(photo(number), f"DIGEST{number}") for number in range(count)]


def urls(pages: list[Page]) -> list[str]:
    return [candidate.url for candidate in candidates(pages)]


async def no_wait(_: float) -> None:
    return


async def test_a_candidate_carries_everything_the_index_knows(http: Fetcher) -> None:
    line = capture(photo(7), "DIGEST7", **{"mime-detected": "image/webp"})
    async with FakeCommonCrawl({NEWEST: [line], OLDER: []}) as fake:
        (page,) = await read(CommonCrawl(http, fake.url), SITE)
    assert page.cursor is None
    assert page.candidates == (
        Candidate(
            url="https://example.com/photos/7.jpg",
            label="photo",
            source="commoncrawl",
            keyword="example.com",
            metadata={
                "provider": "commoncrawl",
                "crawl": "CC-MAIN-2025-43",
                "timestamp": "20251012093000",
                "digest": "DIGEST7",
                "mime": "image/jpeg",
                "mime_detected": "image/webp",
                "warc_filename": "crawl-data/CC-MAIN-2025-43/segments/1/warc/CC-MAIN-1.warc.gz",
                "warc_offset": 123456789,
                "warc_length": 54321,
            },
        ),
    )
    shared = {"url": ["example.com/*"], "output": ["json"]}
    assert fake.asked == [
        (NEWEST, shared | {"showNumPages": ["true"]}),
        (NEWEST, shared | {"filter": FILTERS, "page": ["0"]}),
    ]


async def test_it_reads_page_after_page_one_at_a_time(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: captures(23)}) as fake:
        pages = await read(CommonCrawl(http, fake.url), SITE)
    assert urls(pages) == [photo(number) for number in range(23)]
    assert [page.cursor for page in pages] == [*(f"{NEWEST}/{number}" for number in (1, 2, 3, 4)), None]
    assert fake.most_at_once == 1
    assert INFO.pace == Pace(at_once=1, interval=1.0)


async def test_only_pictures_that_were_had_are_taken(http: Fetcher) -> None:
    lines: list[dict[str, Any] | bytes] = [
        capture(photo(1), "A"),
        capture("https://example.com/", "B", **{"mime": "text/html", "mime-detected": "text/html"}),
        capture(photo(2), "C", status="404"),
        capture(photo(3), "D", **{"mime-detected": "text/html"}),
        capture(photo(4), "E", mime="unk"),
        {name: value for name, value in capture(photo(5), "F").items() if name != "mime-detected"},
        json.dumps(capture(photo(6), "G", status="301")).encode(),  # a line that the filters should have kept back
        json.dumps(capture(photo(7), "H", mime="text/plain")).encode(),
    ]
    async with FakeCommonCrawl({NEWEST: lines}, size=50) as fake:
        pages = await read(CommonCrawl(http, fake.url), SITE)
    assert urls(pages) == [photo(1), photo(5)]


def repeats() -> list[dict[str, Any] | bytes]:
    """Pages of three lines: a repeat within a page, of a URL and of a digest from an earlier page, and no digest."""
    return [
        *(capture(photo(0), "A"), capture(photo(0), "B"), capture(photo(1), "C")),
        *(capture(photo(0), "D"), capture(photo(2), "C"), capture(photo(3), "B")),
        *(capture(photo(2), "E"), capture(photo(3), "F"), capture(photo(4), "D")),
        *(capture(photo(5), ""), capture(photo(6), ""), capture(photo(5), "")),
        *(capture(photo(6), "G"), capture(photo(4), "H")),
    ]


async def test_the_same_url_or_digest_is_given_once(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: repeats()}, size=3) as fake:
        pages = await read(CommonCrawl(http, fake.url), SITE)
    given = [[candidate.url for candidate in page.candidates] for page in pages]
    assert given == [[photo(0), photo(1)], [photo(3)], [photo(2), photo(4)], [photo(5), photo(6)], []]


async def test_it_resumes_from_every_cursor(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: repeats()}, size=3) as fake:
        await assert_resumable(CommonCrawl(http, fake.url), SITE)


async def test_another_process_resumes_from_every_cursor(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: repeats()}, size=3) as fake:
        pages = await read(CommonCrawl(http, fake.url), SITE)
        for place, page in enumerate(pages[:-1], start=1):
            assert await read(CommonCrawl(http, fake.url), SITE, page.cursor) == pages[place:]


async def test_what_one_process_has_read_is_not_read_again_to_resume(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: captures(20)}) as fake:
        source = CommonCrawl(http, fake.url)
        pages = source.pages(SITE, None)
        cursor = [(await anext(pages)).cursor for _ in range(3)][-1]
        assert len(urls(await read(source, SITE, cursor))) == 5
        assert [number for _, number in fake.read] == [0, 1, 2, 3]
        assert len(urls(await read(CommonCrawl(http, fake.url), SITE, cursor))) == 5
        assert [number for _, number in fake.read[4:]] == [0, 1, 2, 3]


async def test_what_was_read_of_many_sites_is_forgotten_and_read_again(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: repeats()}, size=3) as fake:
        source = CommonCrawl(http, fake.url)
        pages = await read(source, SITE)
        for number in range(9):
            await read(source, Query(source="commoncrawl", label="x", keyword=f"{number}.example.com"))
        asked = len(fake.read)
        assert await read(source, SITE, pages[2].cursor) == pages[3:]
        assert [number for _, number in fake.read[asked:]] == [0, 1, 2, 3, 4]


async def test_a_job_stays_in_the_crawl_it_began_with(http: Fetcher) -> None:
    async with FakeCommonCrawl({OLDER: captures(12)}) as fake:
        pages = await read(CommonCrawl(http, fake.url), SITE)
        fake.crawls = {NEWEST: captures(1), **fake.crawls}
        assert await read(CommonCrawl(http, fake.url), SITE, pages[0].cursor) == pages[1:]
        assert {crawl for crawl, _ in fake.asked} == {OLDER}
        assert urls(await read(CommonCrawl(http, fake.url), SITE)) == [photo(0)]


async def test_the_option_names_another_crawl(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: [], OLDER: captures(2)}) as fake:
        query = Query(source="commoncrawl", label="x", keyword="example.com", options={"crawl": OLDER})
        (page,) = await read(CommonCrawl(http, fake.url), query)
    assert [candidate.metadata["crawl"] for candidate in page.candidates] == [OLDER, OLDER]


async def test_the_list_of_crawls_is_asked_for_once(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: captures(2)}) as fake:
        source = CommonCrawl(http, fake.url)
        await read(source, SITE)
        await read(source, SITE)
    assert fake.listed == 1


@pytest.mark.parametrize(
    ("keyword", "asked"),
    [
        ("example.com", "example.com/*"),
        ("Example.COM/", "example.com/*"),
        ("example.com/*", "example.com/*"),
        ("https://www.example.com/photos/", "www.example.com/photos/*"),
        ("HTTP://example.com:8080/Photos", "example.com:8080/Photos*"),
        ("*.example.com", "*.example.com"),
        ("*.example.com/*", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example/*"),
        ("example.com/é/a+b?q=%20&page=3", "example.com/é/a+b?q=%20&page=3*"),
    ],
)
async def test_the_keyword_is_a_domain_or_the_beginning_of_a_url(http: Fetcher, keyword: str, asked: str) -> None:
    query = Query(source="commoncrawl", label="x", keyword=keyword)
    async with FakeCommonCrawl({NEWEST: captures(1)}) as fake:
        (page,) = await read(CommonCrawl(http, fake.url), query)
    assert [given["url"] for _, given in fake.asked] == [[asked], [asked]]
    assert page.candidates[0].keyword == keyword


async def test_a_site_without_captures_is_one_empty_page(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: []}) as fake:
        assert await read(CommonCrawl(http, fake.url), SITE) == [Page((), None)]
        fake.broken = [(404, {}, b'{"message": "No Captures found for: example.com/*"}')]
        assert await read(CommonCrawl(http, fake.url), SITE) == [Page((), None)]
        assert fake.read == []


async def test_a_page_without_pictures_is_not_the_last(http: Fetcher) -> None:
    text: list[dict[str, Any] | bytes] = [
        capture(f"https://example.com/{n}", f"T{n}", mime="text/html") for n in "abcde"
    ]
    async with FakeCommonCrawl({NEWEST: [*text, *captures(2)]}) as fake:
        pages = await read(CommonCrawl(http, fake.url), SITE)
    assert [len(page.candidates) for page in pages] == [0, 2]


async def test_broken_lines_are_passed_over(http: Fetcher) -> None:
    whole = json.dumps(capture(photo(9), "Z")).encode()
    lines = [b"{", b"", b"\xff\xfe\0", b"[" * 100_000, b"[1]", b"null", b'"text"', b"9" * 5000, whole[:-9]]
    odd: list[dict[str, Any] | bytes] = [
        capture(photo(2), "B") | {"url": None},
        capture(photo(3), "C") | {"url": ["https://example.com/x.jpg"]},
        capture(photo(4), "D\0", offset="far", length=None, timestamp={"a": 1}, filename="  "),
        capture("javascript:alert(1)", "E"),
    ]
    async with FakeCommonCrawl({NEWEST: [*captures(1), *lines, *odd]}, size=50) as fake:
        first, bare, script = candidates(await read(CommonCrawl(http, fake.url), SITE))
    assert first.url == photo(0)
    assert bare.metadata == {
        "provider": "commoncrawl",
        "crawl": NEWEST,
        "digest": "D",
        "mime": "image/jpeg",
        "mime_detected": "image/jpeg",
    }
    assert script.url == "javascript:alert(1)"  # refused by the fetcher, with its reason


async def test_a_page_with_no_whole_line_is_an_error_to_come_back_to(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: [b"<html>down for maintenance</html>"]}) as fake:
        with pytest.raises(SourceError, match="without a line of valid JSON") as caught:
            await read(CommonCrawl(http, fake.url), SITE)
    assert caught.value.retryable


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_a_service_that_is_busy_is_asked_ever_more_rarely(status: int) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async with (
        Fetcher(FetchOptions(allow_private=True, attempts=1)) as http,
        FakeCommonCrawl({NEWEST: captures(2)}) as fake,
    ):
        source = CommonCrawl(http, fake.url, wait)
        fake.broken = [(status, {}, b"Please reduce your request rate.")] * 3
        assert len(urls(await read(source, SITE))) == 2
        assert waits == pytest.approx([1, 2, 4], abs=0.5)
        waits.clear()
        fake.broken = [(status, {}, b"")] * 9
        with pytest.raises(SourceError, match=rf"Common Crawl asks to slow down \({status}\)\.") as caught:
            await read(source, SITE)
    assert caught.value.retryable
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60], abs=0.5)


async def test_a_job_that_was_turned_away_goes_on_where_it_was(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: captures(12)}) as fake:
        source = CommonCrawl(http, fake.url, no_wait)
        pages = source.pages(SITE, None)
        cursor = (await anext(pages)).cursor
        fake.broken = [(503, {}, b"")] * 8
        with pytest.raises(SourceError, match="asks to slow down"):
            await anext(pages)
        assert urls(await read(source, SITE, cursor)) == [photo(number) for number in range(5, 12)]


@pytest.mark.parametrize(
    "answer", [{}, {"pages": None}, {"pages": "many"}, {"pages": -1}, {"pages": True}, {"pages": 1.5}]
)
async def test_a_number_of_pages_that_is_none_is_an_error(http: Fetcher, answer: dict[str, Any]) -> None:
    async with FakeCommonCrawl({NEWEST: captures(2)}) as fake:
        fake.broken = [(200, {}, json.dumps(answer).encode())]
        with pytest.raises(SourceError, match="does not say how many pages") as caught:
            await read(CommonCrawl(http, fake.url), SITE)
    assert caught.value.retryable


@pytest.mark.parametrize("listed", [[], {}, {"id": NEWEST}, [None, 1, {"id": NEWEST}, {"id": None, "cdx-api": "x"}]])
async def test_a_list_without_a_crawl_is_an_error_to_come_back_to(http: Fetcher, listed: Any) -> None:
    async with FakeCommonCrawl({NEWEST: captures(2)}) as fake:
        fake.collections = listed
        source = CommonCrawl(http, fake.url)
        with pytest.raises(SourceError, match="lists no crawl") as caught:
            await read(source, SITE)
        fake.collections = None
        assert len(urls(await read(source, SITE))) == 2
    assert caught.value.retryable


async def test_what_the_service_says_against_a_query_is_told(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: captures(2)}) as fake:
        fake.broken = [(400, {}, b'{"message": "Bad Request: no."}')]
        with pytest.raises(SourceError, match=r"does not accept the query \(400\)\. Bad Request: no\.") as caught:
            await read(CommonCrawl(http, fake.url), SITE)
    assert not caught.value.retryable


@pytest.mark.parametrize(("licences", "found"), [({"by"}, 0), ({"by", "unknown"}, 2), (None, 2)])
async def test_who_wants_a_licence_gets_nothing_and_asks_for_nothing(
    http: Fetcher, licences: set[str] | None, found: int
) -> None:
    wanted = None if licences is None else frozenset(licences)
    query = Query(source="commoncrawl", label="x", keyword="example.com", licences=wanted)
    async with FakeCommonCrawl({NEWEST: captures(2)}) as fake:
        (page,) = await read(CommonCrawl(http, fake.url), query)
    assert (len(page.candidates), page.cursor) == (found, None)
    assert bool(fake.listed) is bool(found)


@pytest.mark.parametrize("keyword", [None, "", "cats", "black cats", "*", "*.com", "ftp://example.com/", "a@b.com"])
async def test_a_keyword_that_is_no_site_is_not_sent(http: Fetcher, keyword: str | None) -> None:
    await _refused(
        http, Query(source="commoncrawl", label="x", keyword=keyword), None, "needs a domain or the beginning"
    )


@pytest.mark.parametrize("keyword", ["*.example.com/photos/", "example.com/a b", "example.com?x=1", "a..b", "[::1]/"])
async def test_a_keyword_that_is_no_prefix_is_not_sent(http: Fetcher, keyword: str) -> None:
    await _refused(
        http, Query(source="commoncrawl", label="x", keyword=keyword), None, "needs a domain or the beginning"
    )


@pytest.mark.parametrize("cursor", ["3", NEWEST, f"{NEWEST}/", f"{NEWEST}/-1", f"{NEWEST}/x", f"a/{NEWEST}/1"])
async def test_a_cursor_of_something_else_is_not_sent(http: Fetcher, cursor: str) -> None:
    await _refused(http, SITE, cursor, "not a cursor of Common Crawl")


async def test_an_option_that_does_not_exist_is_not_sent(http: Fetcher) -> None:
    query = Query(source="commoncrawl", label="x", keyword="example.com", options={"year": 2025})
    await _refused(http, query, None, "no option year. Its options are: crawl.")


async def _refused(http: Fetcher, query: Query, cursor: str | None, sentence: str) -> None:
    async with FakeCommonCrawl({NEWEST: captures(2)}) as fake:
        with pytest.raises(SourceError, match=sentence) as caught:
            await read(CommonCrawl(http, fake.url), query, cursor)
    assert not caught.value.retryable
    assert (fake.listed, fake.asked) == (0, [])


async def test_a_crawl_or_page_that_does_not_exist_is_an_error(http: Fetcher) -> None:
    async with FakeCommonCrawl({NEWEST: captures(2)}) as fake:
        source = CommonCrawl(http, fake.url)
        with pytest.raises(SourceError, match=rf"no crawl CC-MAIN-1999-01\. Its newest is {NEWEST}\."):
            await read(source, SITE, "CC-MAIN-1999-01/0")
        with pytest.raises(SourceError, match=r"not a cursor of Common Crawl: example\.com/\* has 1 pages"):
            await read(source, SITE, f"{NEWEST}/1")
