from __future__ import annotations

import gzip
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.sources.pictures import Picture
from gleanset.sources.sitemap import Sitemap, is_sitemap, listed_in, parse
from gleanset.types import Licence

URL = "https://example.org/sitemap.xml"
NOTHING = Sitemap((), (), ())


def urlset(inner: str) -> bytes:
    namespaces = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
    return f'<?xml version="1.0" encoding="UTF-8"?><urlset {namespaces}>{inner}</urlset>'.encode()


def pages(*names: str) -> bytes:
    return urlset("".join(f"<url><loc>https://example.org/{name}</loc></url>" for name in names))


def test_pages_and_their_pictures() -> None:
    body = urlset(
        """<url><lastmod>2026-01-01</lastmod><loc> https://example.org/a?x=1&amp;y=2 </loc>
        <image:image><image:loc><![CDATA[https://cdn.example.org/a.jpg]]></image:loc><image:caption>Two
          words</image:caption><image:license>https://creativecommons.org/licenses/by/4.0/</image:license></image:image>
        <image:image><image:loc>/b.jpg</image:loc><image:title>B</image:title></image:image></url>
        <url><loc>/c</loc><image:image><image:loc>/b.jpg</image:loc><image:caption>Later</image:caption></image:image>
        <image:image><image:loc>/c.svg</image:loc></image:image><image:image><image:title>x</image:title></image:image>
        </url><url><loc>ftp://example.org/</loc></url><url/><loc>/stray</loc>"""
    )
    one, two, three = "https://example.org/a?x=1&y=2", "https://example.org/c", "https://example.org/b.jpg"
    by = Licence("by", "4.0", "https://creativecommons.org/licenses/by/4.0/")
    first = Picture(url="https://cdn.example.org/a.jpg", found="sitemap", caption="Two words", licence=by)
    second = Picture(url=three, found="sitemap", title="B", caption="Later")
    assert parse(body, URL) == Sitemap((one, two), ((one, first), (one, second)), ())
    assert is_sitemap(body)


def test_an_index() -> None:
    body = b"""<sm:sitemapindex xmlns:sm="http://www.sitemaps.org/schemas/sitemap/0.9"><sm:sitemap>
        <sm:loc>https://example.org/1.xml.gz</sm:loc></sm:sitemap><sm:sitemap><sm:loc>2.xml</sm:loc></sm:sitemap>
        <sm:sitemap><sm:loc>javascript:x</sm:loc></sm:sitemap></sm:sitemapindex>"""
    assert parse(body, URL) == Sitemap((), (), ("https://example.org/1.xml.gz", "https://example.org/2.xml"))
    assert is_sitemap(body)


def test_prefixes_need_not_be_declared() -> None:
    body = b"<urlset><url><loc>/a</loc><image:image><image:loc>/a.jpg</image:loc></image:image></url></urlset>"
    found = Picture(url="https://example.org/a.jpg", found="sitemap")
    assert parse(body, URL) == Sitemap(("https://example.org/a",), (("https://example.org/a", found),), ())


def test_gzip_is_known_by_its_bytes() -> None:
    body = gzip.compress(pages("a", "b"))
    assert parse(body, URL).pages == ("https://example.org/a", "https://example.org/b")
    assert is_sitemap(body)


def test_of_a_broken_file_what_came_before_is_kept() -> None:
    names = [str(number) for number in range(20_000)]
    whole = pages(*names)
    expected = tuple(f"https://example.org/{name}" for name in names)
    half = parse(whole[: len(whole) // 2], URL).pages
    assert 9_000 < len(half) < 11_000
    assert half == expected[: len(half)]
    packed = gzip.compress(whole)
    cut = parse(packed[: len(packed) // 2], URL).pages
    assert 5_000 < len(cut) < 15_000
    assert cut == expected[: len(cut)]
    wrong_sum = parse(packed[:-8] + b"\0" * 8, URL).pages
    assert len(wrong_sum) > 10_000
    assert wrong_sum == expected[: len(wrong_sum)]
    assert parse(whole.replace(b"</loc></url><url><loc>https://example.org/7<", b"</lock>"), URL).pages == expected[:6]


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>',
        '<!DOCTYPE x [<!ENTITY c SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE x [<!ENTITY % c SYSTEM "http://127.0.0.1:1/x.dtd"> %c;]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">',
    ],
)
def test_document_types_and_their_entities_are_not_read(doctype: str) -> None:
    body = f"{doctype}<urlset><url><loc>https://example.org/&c;</loc></url><url><loc>/b</loc></url></urlset>"
    assert parse(body.encode(), URL) == NOTHING


def test_a_bomb_is_unpacked_to_the_limit_only() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(b"<urlset><url><loc>/a</loc></url><x>")
    bomb += b"".join(packer.compress(b" " * 1_000_000) for _ in range(500)) + packer.flush()
    assert len(bomb) < 1_000_000
    begun = time.process_time()
    assert parse(bomb, URL).pages == ("https://example.org/a",)
    assert time.process_time() - begun < 5


def test_bytes_and_items_are_limited() -> None:
    body = pages(*map(str, range(100)))
    assert len(parse(body, URL, most_items=30).pages) == 30
    assert len(parse(body, URL, most_bytes=len(body) // 2).pages) == 48
    assert len(parse(gzip.compress(body), URL, most_bytes=len(body) // 2).pages) == 48
    image = "<image:image><image:loc>/{}.jpg</image:loc></image:image>"
    many = urlset(
        "<url><loc>/a</loc>" + "".join(image.format(n) for n in range(50)) + "</url>" + "<url><loc>/b</loc></url>"
    )
    assert parse(many, URL, most_items=30) == NOTHING
    assert len(parse(many, URL, most_items=51).pictures) == 50


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x1f\x8b",
        b"\x1f\x8b\x08garbage",
        b"\x89PNG\r\n",
        b"<html><body><p>urlset</html>",
        b"<?xml version='1.0' encoding='no-such'?><urlset/>",
        b"<?xml version='1.0' encoding='shift_jis'?><urlset/>",
        b"<a>" * 100_000,
        b"<urlset><url><loc>" + b"x" * 5_000_000,
    ],
    ids=range(9),
)
def test_what_is_no_sitemap(body: bytes) -> None:
    assert parse(body, URL) == NOTHING


def test_pages_about_sitemaps_are_none() -> None:
    assert not is_sitemap(b"<!doctype html><title>How to write an urlset</title><pre>&lt;urlset></pre>")
    assert not is_sitemap(b"")


def test_the_lines_of_a_robots_txt() -> None:
    robots = (
        b"User-agent: *\r\nSitemap: https://example.org/a.xml\r\n  SITEMAP:/b.xml # two\n#Sitemap: /c.xml\nsitemap:\n"
    )
    assert listed_in(robots) == ["https://example.org/a.xml", "/b.xml"]
    assert listed_in(b"\xff\xfe\0") == []


PARTS = ["<urlset>", "<url>", "</url>", "<loc>", "</loc>", "/a", "<image:image>", "</image:image>", "<image:loc>"]
PARTS += [
    "</image:loc>",
    "<sitemap>",
    "</sitemap>",
    "&amp;",
    "&x;",
    "<!DOCTYPE x>",
    "<![CDATA[",
    "]]>",
    "\0",
    "é",
    "http://[",
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(PARTS), max_size=40).map(lambda parts: "".join(parts).encode()) | st.binary(max_size=200)
)
def test_nothing_raises(body: bytes) -> None:
    for start in (b"", b"<urlset>", b"\x1f\x8b\x08\0\0\0\0\0\0\3"):
        parse(start + body, URL)
        is_sitemap(start + body)
    parse(gzip.compress(body), URL)
