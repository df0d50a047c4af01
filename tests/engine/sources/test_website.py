from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest

from gleanset.errors import SourceError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.sources.frontier import Frontier, site_of
from gleanset.sources.website import Website, plan
from gleanset.types import Candidate, Licence, Pace, Query
from tests.engine.sources.fake_site import FakeSite, File, html, moved, xml
from tests.engine.sources.reading import assert_resumable, candidates, read

SITEMAP = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
IMAGES = 'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'


def start(site: FakeSite, path: str = "/", **options: Any) -> Query:
    return Query(source="website", label="birds", keyword=site.origin + path, options=options)


async def urls(http: Fetcher, site: FakeSite, query: Query) -> list[str]:
    """The pictures found, by their paths."""
    found = candidates(await read(Website(http), query))
    return [candidate.url.removeprefix(site.origin) for candidate in found]


def page(*pictures: str, links: tuple[str, ...] = (), head: str = "") -> File:
    shown = "".join(f"<img src={picture}>" for picture in pictures)
    return html(f"<head>{head}</head>{shown}" + "".join(f"<a href='{link}'>x</a>" for link in links))


async def test_a_candidate_carries_everything_the_page_says(http: Fetcher) -> None:
    body = """<!doctype html><title>Birds &amp; bees</title><base href="/pictures/">
        <link rel="license" href="https://creativecommons.org/licenses/by/4.0/">
        <figure><img src="small.jpg" srcset="small.jpg 320w, large.jpg 1280w" alt="A wren" title="Wren">
        <figcaption>A <b>wren</b> on a fence</figcaption></figure>
        <script type="application/ld+json">{"@type": "ImageObject", "contentUrl": "owl.jpg", "name": "Owl",
          "license": "https://creativecommons.org/licenses/by-sa/3.0/", "creditText": "Ada / Example Press",
          "creator": {"@type": "Person", "name": "Ada", "url": "/ada"}, "width": 800, "height": "600",
          "acquireLicensePage": "/buy", "copyrightNotice": "Ada 2026"}</script>"""
    async with FakeSite({"/birds/": html(body)}) as site:
        (found,) = await read(Website(http), start(site, "/birds/"))
    origin = site.origin
    assert found.cursor is None
    assert found.candidates == (
        Candidate(
            url=f"{origin}/pictures/large.jpg",
            label="birds",
            source="website",
            keyword=f"{origin}/birds/",
            page_url=f"{origin}/birds/",
            title="Wren",
            licence=Licence("by", "4.0", "https://creativecommons.org/licenses/by/4.0/"),
            attribution='"Wren", CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), via ' + f"{origin}/birds/",
            metadata={
                "found": "img",
                "page_title": "Birds & bees",
                "alt": "A wren",
                "caption": "A wren on a fence",
                "width": 1280,
                "licence_from": "page",
            },
        ),
        Candidate(
            url=f"{origin}/pictures/owl.jpg",
            label="birds",
            source="website",
            keyword=f"{origin}/birds/",
            page_url=f"{origin}/birds/",
            title="Owl",
            creator="Ada",
            creator_url=f"{origin}/ada",
            licence=Licence("by-sa", "3.0", "https://creativecommons.org/licenses/by-sa/3.0/"),
            attribution="Ada / Example Press",
            metadata={
                "found": "json-ld",
                "page_title": "Birds & bees",
                "width": 800,
                "height": 600,
                "acquire_licence_page": f"{origin}/buy",
                "copyright_notice": "Ada 2026",
            },
        ),
    )


TREE = {
    "/": page(
        "a.jpg", links=("/b", "/c", "/b#part", "mailto:ada@example.org", "javascript:x()", "tel:1", "//[::1", "")
    ),
    "/b": page("b.jpg", links=("/d", "/", "/c")),
    "/c": page("c.jpg", "/b.jpg", links=("/e",)),
    "/d": page("d.jpg", links=("/f",)),
    "/e": page("e.jpg"),
    "/f": page("f.jpg"),
}


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"depth": 0}, ["/"]),
        ({}, ["/", "/b", "/c"]),
        ({"depth": 2}, ["/", "/b", "/c", "/d", "/e"]),
        ({"depth": 9}, ["/", "/b", "/c", "/d", "/e", "/f"]),
        ({"depth": 9, "max_pages": 4}, ["/", "/b", "/c", "/d"]),
        ({"max_pages": 1}, ["/"]),
    ],
)
async def test_it_walks_breadth_first_and_stops_where_it_should(
    http: Fetcher, options: dict[str, int], asked: list[str]
) -> None:
    async with FakeSite(TREE) as site:
        pages = await read(Website(http), start(site, **options))
    assert [path for path in site.asked if path != "/robots.txt"] == asked
    shown = {"/": ["a"], "/c": ["c", "b"]}
    assert [[c.url.removeprefix(site.origin) for c in found.candidates] for found in pages] == [
        [f"/{name}.jpg" for name in shown.get(path, [path[1:]])] for path in asked
    ]
    assert [c.page_url for c in candidates(pages)] == [
        site.origin + path for path in asked for _ in shown.get(path, [path])
    ]


async def test_it_resumes_from_every_cursor(http: Fetcher) -> None:
    files = TREE | {"/c": page(*(f"{n}.jpg" for n in range(450)), links=("/e", "/gone", "/moved"))}
    files |= {"/moved": moved("/f"), "/sitemap.xml": xml(f"<urlset {SITEMAP}><url><loc>/g</loc></url></urlset>")}
    async with FakeSite(files) as site:
        query = start(site, depth=3, sitemaps=True)
        await assert_resumable(Website(http), query)
        pages = await read(Website(http), query)
    assert [len(found.candidates) for found in pages] == [1, 0, 1, 200, 200, 50, 0, 1, 1, 0, 0, 1]


async def test_it_stays_on_its_site(http: Fetcher) -> None:
    async with FakeSite({"/b": page("b.jpg")}) as site:
        site.files["/"] = page(
            f"{site.elsewhere}/far.jpg", links=(f"{site.elsewhere}/b", "http://example.org/", "/away", "/b")
        )
        site.files["/away"] = moved(f"{site.elsewhere}/b")
        found = await urls(http, site, start(site))
    assert found == [f"{site.elsewhere}/far.jpg", "/b.jpg"]


async def test_a_start_that_moves_to_another_site_is_of_that_site(http: Fetcher) -> None:
    async with FakeSite({"/b": page("b.jpg", links=("/c",)), "/c": page("c.jpg")}) as site:
        site.files["/"] = moved(f"{site.elsewhere}/b")
        found = await urls(http, site, start(site))
    assert found == [f"{site.elsewhere}/b.jpg", f"{site.elsewhere}/c.jpg"]


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("http://www.Example.org/a", "example.org"),
        ("https://example.org/b", "example.org"),
        ("http://pictures.example.org/", "pictures.example.org"),
        ("http://example.org:8080/", "example.org:8080"),
    ],
)
def test_a_site_is_a_host_without_www(url: str, site: str) -> None:
    assert site_of(url) == site


async def test_redirects_are_visited_once(http: Fetcher) -> None:
    files = {
        "/": page(links=("/one", "/two", "/new", "/loop")),
        "/one": moved("/new"),
        "/two": moved("/new"),
        "/new": page("new.jpg"),
        "/loop": moved("/loop"),
    }
    async with FakeSite(files) as site:
        assert await urls(http, site, start(site)) == ["/new.jpg"]


async def test_what_is_broken_or_no_page_is_passed_over(http: Fetcher) -> None:
    files = {
        "/": page("a.jpg", links=("/gone", "/down", "/pdf", "/big", "/odd", "/photo.JPG", "/paper.pdf?x=1", "/untold")),
        "/down": File(b"<img src=x.jpg>", status=500, headers={"Content-Type": "text/html"}),
        "/pdf": File(b"<img src=x.jpg>", headers={"Content-Type": "application/pdf"}),
        "/big": html("<img src=x.jpg>" + " " * (8 * 1024 * 1024)),
        "/odd": File(b"<img src=odd.jpg>\xff\xfe\x00", headers={"Content-Type": "Text/HTML; charset=no-such"}),
        "/untold": File(b"  <img src=untold.jpg>", headers={"Content-Type": ""}),
        "/photo.JPG": page("x.jpg"),
        "/paper.pdf?x=1": page("x.jpg"),
    }
    async with FakeSite(files) as site:
        assert await urls(http, site, start(site)) == ["/a.jpg", "/odd.jpg", "/untold.jpg"]
    assert not {"/photo.JPG", "/paper.pdf?x=1"} & set(site.asked)


async def test_pages_that_opt_out_are_passed_over(http: Fetcher) -> None:
    files = {
        "/": page("a.jpg", links=("/b", "/c"), head="<meta name=robots content='noai, noimageai'>"),
        "/b": page("b.jpg", links=("/d",), head="<meta name=ROBOTS content=NoFollow>"),
        "/c": page("c.jpg", links=("/e",), head="<meta name=gleanset content=noindex>"),
        "/d": page("d.jpg"),
        "/e": page("e.jpg"),
    }
    async with FakeSite(files) as site:
        assert await urls(http, site, start(site, depth=5)) == ["/b.jpg", "/e.jpg"]


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("<meta name=robots content='noimageindex, noai'>", "robots: noimageindex"),
        ("<meta name=gleanset content=none>", "gleanset: none"),
        ("<meta name=tdm-reservation content=1>", "tdm-reservation: 1"),
    ],
)
async def test_a_start_that_opts_out_is_told_when_there_is_nothing_else(http: Fetcher, tag: str, said: str) -> None:
    files = {"/": page("a.jpg", links=("/b",), head=tag), "/b": page("b.jpg")}
    async with FakeSite(files) as site:
        for options in ({"depth": 0}, {"max_pages": 1}):
            with pytest.raises(SourceError) as caught:
                await read(Website(http), start(site, **options))
            assert str(caught.value) == (
                f"No page of {site.origin}/ could be had, or let us have its pictures: meta tag {said} (1)."
            )
            assert not caught.value.retryable
        assert "/b" not in site.asked


async def test_it_is_told_when_none_of_the_pages_can_be_had() -> None:
    closed = page("x.jpg", head="<meta name=robots content=noindex>")
    tagged = replace(closed, headers=closed.headers | {"X-Robots-Tag": "noai"})
    paths = ("/a", "/b", "/c", "/d", "/secret", "/no.pdf")
    listed = "".join(f"<url><loc>{path}</loc></url>" for path in paths)
    files = {
        "/map.xml": xml(f"<urlset {SITEMAP}>{listed}</urlset>"),
        "/a": closed, "/b": closed, "/c": tagged,
        "/robots.txt": File(b"User-agent: *\nDisallow: /secret\n"),
    }  # fmt: skip
    polite = FetchOptions(allow_private=True, pace=Pace(4))
    async with FakeSite(files) as site, Fetcher(polite) as http:
        query = start(site, "/map.xml")
        with pytest.raises(SourceError) as caught:
            await read(Website(http), query)
        assert str(caught.value) == (
            f"No page of {site.origin}/map.xml could be had, or let us have its pictures: meta tag robots: noindex (2),"
            " opt_out_header (1), robots (1), status 404 (1)."
        )
        assert not caught.value.retryable
        site.files["/d"] = page("d.jpg")
        assert await urls(http, site, query) == ["/d.jpg"]


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("nofollow", ["/a.jpg"]),
        ("noarchive, gleanset: NoFollow", ["/a.jpg"]),
        ("otherbot: nofollow", ["/a.jpg", "/b.jpg"]),
        ("noarchive", ["/a.jpg", "/b.jpg"]),
    ],
)
async def test_links_are_not_followed_where_a_header_says_so(http: Fetcher, tag: str, found: list[str]) -> None:
    first = page("a.jpg", links=("/b",))
    files = {"/": replace(first, headers=first.headers | {"X-Robots-Tag": tag}), "/b": page("b.jpg")}
    async with FakeSite(files) as site:
        assert await urls(http, site, start(site)) == found


async def test_a_sitemap_leads_to_pages_pictures_and_sitemaps(http: Fetcher) -> None:
    async with FakeSite({"/b": page("b.jpg", links=("/d",)), "/c": page("c.jpg")}) as site:
        one = f"""<urlset {SITEMAP} {IMAGES}><url><loc>{site.origin}/b</loc><image:image>
            <image:loc>{site.elsewhere}/one.jpg</image:loc><image:title>One</image:title>
            <image:license>https://creativecommons.org/publicdomain/zero/1.0/</image:license></image:image></url>
            <url><loc>https://elsewhere.example/</loc><image:image><image:loc>/no.jpg</image:loc></image:image></url>
            </urlset>"""
        two = f"<urlset {SITEMAP}><url><loc>{site.origin}/c</loc></url></urlset>"
        index = "".join(
            f"<sitemap><loc>{site.origin}/{name}</loc></sitemap>" for name in ("1.xml", "gone.xml", "2.xml.gz")
        )
        site.files |= {
            "/index.xml.gz": File(gzip.compress(f"<sitemapindex {SITEMAP}>{index}</sitemapindex>".encode())),
            "/1.xml": xml(one),
            "/2.xml.gz": File(gzip.compress(two.encode()), headers={"Content-Type": "application/gzip"}),
        }
        query = start(site, "/index.xml.gz")
        found = candidates(await read(Website(http), query))
        await assert_resumable(Website(http), query)
    assert [c.url for c in found] == [f"{site.elsewhere}/one.jpg", f"{site.origin}/b.jpg", f"{site.origin}/c.jpg"]
    licence = Licence("cc0", "1.0", "https://creativecommons.org/publicdomain/zero/1.0/")
    assert (found[0].title, found[0].licence, found[0].page_url) == ("One", licence, f"{site.origin}/b")
    assert found[0].metadata == {"found": "sitemap"}
    assert "/d" not in site.asked


async def test_the_sitemaps_of_a_site_are_found(http: Fetcher) -> None:
    files = {
        "/": page("a.jpg"),
        "/sitemap.xml": xml(f"<urlset {SITEMAP}><url><loc>/b</loc></url></urlset>"),
        "/hidden.xml": xml(f"<urlset {SITEMAP}><url><loc>/c</loc></url></urlset>"),
        "/robots.txt": File(b"User-agent: *\nDisallow: /x\n SITEMAP : /hidden.xml\r\nSitemap: /gone.xml\nsitemap:\n"),
        "/b": page("b.jpg"),
        "/c": page("c.jpg"),
    }
    async with FakeSite(files) as site:
        assert await urls(http, site, start(site, sitemaps=True)) == ["/a.jpg", "/c.jpg", "/b.jpg"]
        assert await urls(http, site, start(site)) == ["/a.jpg"]


async def test_a_calendar_without_end_is_left_in_time(http: Fetcher) -> None:
    class Calendar(FakeSite):
        async def _answer(self, request: Any) -> Any:
            day = int(request.query.get("day", "0"))
            self.files = {request.path_qs: page(f"{day}.jpg", links=tuple(f"?day={day + n}" for n in range(1, 500)))}
            return await super()._answer(request)

    async with Calendar({}) as site:
        pages = await read(Website(http), start(site, "/?day=0", depth=10, max_pages=30))
    assert [c.url for c in candidates(pages)] == [f"{site.origin}/{day}.jpg" for day in range(30)]
    assert max(len(found.cursor or "") for found in pages) < 1000


def test_a_frontier_stays_small() -> None:
    frontier = Frontier(10_000)
    for number in range(100_000):
        frontier.let_in(f"https://example.org/{number}/" + "x" * 2000, 1)
        frontier.let_in_sitemap(f"https://example.org/{number}.xml", 1)
    assert (len(frontier.pages), len(frontier.sitemaps)) == (492, 100)
    frontier.sitemaps.clear()
    while frontier.next():
        pass
    assert len(frontier.packed()) < 10_000


def test_a_frontier_comes_back_as_it_was() -> None:
    frontier = Frontier(50, "example.org")
    for number in range(20):
        frontier.let_in(f"https://example.org/{number}", number)
    frontier.let_in_sitemap("https://example.org/sitemap.xml", 2)
    frontier.next()
    frontier.next()
    frontier.meets("https://example.org/moved")
    frontier.gave = True
    frontier.pass_over("robots")
    again = Frontier.unpacked(frontier.packed(), 50)
    assert again == frontier
    assert [again.meets(f"https://example.org/{name}") for name in ("0", "19", "sitemap.xml", "moved", "new")] == [
        *[False] * 4,
        True,
    ]


@pytest.mark.parametrize(
    ("file", "sentence", "retryable"),
    [
        (File(status=404), "answered with status 404. Check its address.", False),
        (File(status=503), "answered with status 503. Try again later.", True),
        (moved("/"), "cannot be had: The server redirects more often than allowed.", False),
        (moved("http://user:secret@example.org/"), "cannot be had: The URL is not an absolute http(s) URL", False),
        (File(b"\x89PNG", headers={"Content-Type": "image/png"}), "is neither a web page nor a sitemap.", False),
    ],
)
async def test_a_start_that_cannot_be_read_is_an_error(
    http: Fetcher, file: File, sentence: str, retryable: bool
) -> None:
    async with FakeSite({"/": file}) as site:
        with pytest.raises(SourceError) as caught:
            await read(Website(http), start(site))
    assert f"{site.origin}/ {sentence}" in str(caught.value)
    assert caught.value.retryable is retryable


async def test_a_start_on_a_private_address_is_refused() -> None:
    async with FakeSite(TREE) as site, Fetcher(FetchOptions()) as guarded:
        with pytest.raises(
            SourceError,
            match=r"cannot be had: The host resolves to a loopback.*For a server of your own, say --allow-private",
        ) as caught:
            await read(Website(guarded), start(site))
    assert not caught.value.retryable
    assert site.asked == []


@pytest.mark.parametrize(
    ("keyword", "options", "cursor", "sentence"),
    [
        (None, {}, None, "needs the http or https address"),
        ("example.org", {}, None, "not 'example.org'"),
        ("ftp://example.org/", {}, None, "needs the http or https address"),
        ("http://example.org/", {"deep": 1}, None, "no option deep. Its options are: depth, max_pages, sitemaps."),
        ("http://example.org/", {"depth": -1}, None, "from 0 to 10"),
        ("http://example.org/", {"depth": "far"}, None, "from 0 to 10"),
        ("http://example.org/", {"max_pages": 10_001}, None, "from 1 to 10000"),
        ("http://example.org/", {}, "next", "'next' is not a cursor of a website."),
        ("http://example.org/", {}, "0.e30=", "is not a cursor"),
        ("http://example.org/", {}, "0.!", "is not a cursor"),
    ],
)
async def test_a_query_that_makes_no_sense_is_not_sent(
    http: Fetcher, keyword: str | None, options: dict[str, Any], cursor: str | None, sentence: str
) -> None:
    query = Query(source="website", label="x", keyword=keyword, options=options)
    with pytest.raises(SourceError) as caught:
        await read(Website(http), query, cursor)
    assert sentence in str(caught.value)
    assert not caught.value.retryable


async def test_the_options_come_back_from_json_as_they_were(http: Fetcher) -> None:
    async with FakeSite(TREE) as site:
        query = start(site, **json.loads('{"depth": 0, "max_pages": 1, "sitemaps": false}'))
        assert await urls(http, site, query) == ["/a.jpg"]


def test_a_start_is_planned_with_its_host_as_label() -> None:
    query = plan("https://www.Example.org#top", depth=2)
    options = {"depth": 2, "max_pages": 100, "sitemaps": False}
    assert query == Query(source="website", label="example.org", keyword="https://www.example.org/", options=options)
    assert plan("http://example.org/a", label="birds").label == "birds"
    with pytest.raises(SourceError, match=r"not 'example\.org'"):
        plan("example.org")
    with pytest.raises(SourceError, match="from 0 to 10"):
        plan("http://example.org/", depth=11)
