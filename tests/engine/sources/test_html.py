from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.sources.html import extract
from gleanset.sources.pictures import Picture, absolute
from gleanset.types import Licence

URL = "https://example.org/birds/"
BY = Licence("by", "4.0", "https://creativecommons.org/licenses/by/4.0/")


def shown(html: str, url: str = URL) -> list[str]:
    """The pictures of a page, relative to it."""
    return [picture.url.removeprefix(url) for picture in extract(html.encode(), url).pictures]


def only(html: str) -> Picture:
    (picture,) = extract(html.encode(), URL).pictures
    return picture


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<img src=a.jpg>", ["a.jpg"]),
        ("<IMG SRC='a.jpg'/>", ["a.jpg"]),
        ('<img alt="x > y" src="a.jpg?w=1&amp;h=2">', ["a.jpg?w=1&h=2"]),
        ("<img src='a.jpg?x=1&copy=2'>", ["a.jpg?x=1&copy=2"]),
        ("<img src=' a b.jpg\n'>", ["a%20b.jpg"]),
        ("<img src=/a.jpg>", ["https://example.org/a.jpg"]),
        ("<img src=//cdn.example.org:443/ä.jpg#x>", ["https://cdn.example.org/%C3%A4.jpg"]),
        ("<img src=a.jpg src=b.jpg>", ["a.jpg"]),
        ("<img src=a.jpg><img src=./a.jpg>", ["a.jpg"]),
        ("<img src=a.jpg srcset='b.jpg 2x, c.jpg 3x'>", ["c.jpg"]),
        ("<img src=a.jpg srcset='b.jpg 640w,c.jpg 320w'>", ["b.jpg"]),
        ("<img src=a.jpg srcset='x,y/w_1,h_2.jpg 2x'>", ["x,y/w_1,h_2.jpg"]),
        ("<img srcset='a.jpg, b.jpg 1.5x,'>", ["b.jpg"]),
        ("<img src=a.jpg srcset=', ,,'>", ["a.jpg"]),
        ("<img src=a.jpg srcset='data:image/gif;base64,R0 900w, b.jpg 10w'>", ["b.jpg"]),
        ("<img src=dot.gif data-src=a.jpg>", ["a.jpg"]),
        ("<img src=dot.gif data-original=a.jpg>", ["a.jpg"]),
        ("<img src=dot.gif data-lazy-src=a.jpg>", ["a.jpg"]),
        ("<img src=dot.gif data-srcset='a.jpg 1x, b.jpg 2x'>", ["b.jpg"]),
        ("<img src=dot.gif data-lazy-srcset='a.jpg 10w, b.jpg 20w'>", ["b.jpg"]),
        ("<img src='data:image/gif;base64,R0lGOD' data-src=a.jpg><noscript><img src=a.jpg></noscript>", ["a.jpg"]),
        ("<noscript><img src=a.jpg></noscript>", ["a.jpg"]),
        (
            "<picture><source srcset='a.webp 640w, b.webp 1280w'><source srcset=c.svg type='image/svg+xml'>"
            "<img src=c.jpg></picture><img src=d.jpg>",
            ["b.webp", "d.jpg"],
        ),
        ("<video><source src=a.mp4 srcset=a.jpg></video>", []),
        ("<img src='data:image/png;base64,AAAA'><img src=a.svg?x><img src=A.SVGZ>", []),
        (
            "<img src=a.gif width=1 height=1><img src=b.gif width=1px height=0><img src=c.gif width=1 height=9>",
            ["c.gif"],
        ),
        ("<img src='javascript:x()'><img src='file:///etc/passwd'><img src='https://u:p@example.org/a.jpg'>", []),
        ("<img src='http://[::1'><img src='http://a..b/x.jpg'><img src='http://example.org:99999/'><img>", []),
        ("<img src='https://example.org/" + "x" * 2048 + "'>", []),
        ("<!-- <img src=a.jpg> --><script>'<img src=b.jpg>'</script><textarea><img src=c.jpg></textarea>", []),
        ("<base href=/x/><base href=/y/><img src=a.jpg>", ["https://example.org/x/a.jpg"]),
        ("<img src=a.jpg><base href='javascript:x'>", ["a.jpg"]),
        ("<div style='color: red; background-image: url(a.jpg)'>", ["a.jpg"]),
        ("<div style='background: #fff url(&quot;a (1).jpg&quot;) no-repeat, url(b.jpg)'>", ["a%20(1).jpg", "b.jpg"]),
        ("<style>@font-face{src:url(x.woff)} .a{BACKGROUND:URL( 'a.jpg' )} .b{mask:url(m.png)}</style>", ["a.jpg"]),
    ],
)
def test_pictures(html: str, expected: list[str]) -> None:
    assert shown(html) == expected


def test_open_graph_and_twitter_name_each_picture_once() -> None:
    page = extract(
        b"""<meta property=og:image content=http://example.org/a.jpg>
        <meta property=og:image:secure_url content=https://example.org/a.jpg>
        <meta property=og:image:width content=1200><meta property=og:image:alt content="A wren">
        <meta property=og:image content=b.jpg><meta property=og:image:url content=b.jpg>
        <meta name=twitter:image content=https://example.org/a.jpg><meta name="twitter:image:src" content=c.jpg>""",
        URL,
    )
    assert page.pictures == (
        Picture(url="https://example.org/a.jpg", found="og", alt="A wren", width=1200),
        Picture(url=f"{URL}b.jpg", found="og"),
        Picture(url=f"{URL}c.jpg", found="twitter"),
    )


def test_what_is_said_of_a_picture_in_two_places_is_put_together() -> None:
    picture = only("<meta property=og:image content=a.jpg><img src=a.jpg alt=Wren width=640 height=480 title=' '>")
    assert picture == Picture(url=f"{URL}a.jpg", found="og", alt="Wren", width=640, height=480)


def test_figures_caption_the_pictures_in_them() -> None:
    page = extract(
        b"""<figure><figcaption>One <i>&amp;</i> only</figcaption><img src=a.jpg></figure> <img src=b.jpg>
        <figure><img src=c.jpg><figure><img src=d.jpg><figcaption>Inner</figcaption></figure>
        <figcaption>Outer</figcaption></figure><figcaption>Stray</figcaption>""",
        URL,
    )
    assert [(p.url[-5:-4], p.caption) for p in page.pictures] == [
        ("a", "One & only"),
        ("b", None),
        ("c", "Outer"),
        ("d", "Inner"),
    ]


def test_a_licence_is_of_the_page_or_of_the_figure() -> None:
    html = """<a rel="nofollow license" href=//creativecommons.org/licenses/by/4.0/>CC BY</a><img src=a.jpg>
        <figure><img src=b.jpg><a rel=license href=https://creativecommons.org/publicdomain/zero/1.0/>0</a></figure>"""
    one, two = extract(html.encode(), URL).pictures
    assert (one.licence, one.extra) == (BY, {"licence_from": "page"})
    assert two.licence == Licence("cc0", "1.0", "https://creativecommons.org/publicdomain/zero/1.0/")
    assert two.extra == {"licence_from": "figure"}


def test_two_licences_of_a_page_are_none() -> None:
    link = "<link rel=license href=https://creativecommons.org/licenses/{}/4.0/>"
    assert only(link.format("by") + link.format("by") + "<img src=a.jpg>").licence == BY
    assert only(link.format("by") + link.format("by-sa") + "<img src=a.jpg>").licence is None


def ld(value: Any) -> str:
    return f"<script type='Application/LD+JSON'>{json.dumps(value)}</script>"


A = Picture(url=f"{URL}a.jpg", found="json-ld")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"image": "a.jpg"}, [A]),
        ({"@type": "Article", "image": ["a.jpg", {"url": "b.jpg"}]}, [A, replace(A, url=f"{URL}b.jpg")]),
        (
            {"@graph": [{"@type": ["Thing", "ImageObject"], "url": "a.jpg", "width": {"value": "64"}}]},
            [replace(A, width=64)],
        ),
        ({"a": [[{"b": {"@type": "ImageObject", "contentUrl": ["a.jpg"], "url": "/page"}}]]}, [A]),
        ({"image": {"url": "a.jpg", "license": {"@id": BY.url}}}, [replace(A, licence=BY)]),
        (
            {"image": {"url": "a.jpg", "license": "All rights reserved"}},
            [replace(A, licence=Licence("all-rights-reserved"))],
        ),
        (
            {"image": {"url": "a.jpg", "creator": ["Ada", {"name": "Grace", "url": "g"}]}},
            [replace(A, creator="Ada, Grace", creator_url=f"{URL}g")],
        ),
        (
            [{"image": {"url": "a.jpg", "author": {"@id": "#ada"}}}, {"@id": "#ada", "@type": "Person", "name": "Ada"}],
            [replace(A, creator="Ada")],
        ),
        ({"@type": "Article", "license": BY.url, "image": "a.jpg"}, [A]),
        (
            {"image": {"@type": "ImageObject", "url": "a.jpg", "thumbnail": {"@type": "ImageObject", "url": "t.jpg"}}},
            [A],
        ),
        ({"@context": {"image": "https://example.org/x.jpg"}, "image": {"@id": "#a"}}, []),
        ({"image": [None, 1, True, {}, [], {"url": 3}, "x.svg", "data:x"]}, []),
        ({"image": [{"url": "a.jpg", "width": -1, "name": {}}]}, [A]),
        ("a.jpg", []),
        (None, []),
    ],
)
def test_json_ld(value: Any, expected: list[Picture]) -> None:
    assert list(extract(ld(value).encode(), URL).pictures) == expected


@pytest.mark.parametrize(
    "script", ["", "{", "[" * 100_000, '{"image":' * 5000, "9" * 5000, '{"image": "\\ud800\\u0000"}', "<b>"]
)
def test_json_ld_that_is_none(script: str) -> None:
    page = f"<script type=application/ld+json>{script}</script><img src=a.jpg>"
    assert shown(page)[-1] == "a.jpg"


@pytest.mark.parametrize(
    ("meta", "takes", "follows"),
    [
        ("", True, True),
        ("<meta name=robots content='index, follow'>", True, True),
        ("<meta name=Robots content='NOINDEX'>", False, True),
        ("<meta name=robots content='max-snippet:-1 , nofollow'>", True, False),
        ("<meta name=robots content=none>", False, False),
        ("<meta name=robots content=noimageindex>", False, True),
        ("<meta name=robots content='noai'>", False, True),
        ("<meta content='follow,noimageai' name=robots>", False, True),
        ("<meta name=gleanset content=none>", False, False),
        ("<meta name=otherbot content=none>", True, True),
        ("<meta name=robots content=index><meta name=robots content=noindex>", False, True),
        ("<meta name=tdm-reservation content=1>", False, True),
        ("<meta name=tdm-reservation content=0>", True, True),
        ("<noscript><meta name=robots content=noindex></noscript>", False, True),
    ],
)
def test_opt_outs(meta: str, takes: bool, follows: bool) -> None:
    page = extract(f"{meta}<img src=a.jpg><a href=b>b</a>".encode(), URL)
    assert (len(page.pictures), len(page.links)) == (takes, follows)


def test_links() -> None:
    html = """<a href=b>b</a><a href='/c#x'>c</a><a href="/c">c</a><area href=?d><a href=e rel="ugc NoFollow">e</a>
        <link rel=next href=f><a href=mailto:a@b.c>m</a><a href=javascript:x>j</a><a name=x>n</a><a href=' '>s</a>
        <a href="HTTP://EXAMPLE.ORG:80">g</a><a href=\\\\x\ny>h</a>"""
    assert extract(html.encode(), URL).links == (
        f"{URL}b",
        "https://example.org/c",
        f"{URL}?d",
        URL,
        "http://example.org/",
        f"{URL}%5C%5Cx",
    )


@pytest.mark.parametrize(
    ("body", "charset", "title"),
    [
        ("<title>Übergröße".encode(), None, "Übergröße"),
        ("<title>Übergröße".encode("latin-1"), None, "Übergröße"),
        ("<title>Übergröße".encode("latin-1"), "ISO-8859-1", "Übergröße"),
        ("<title>“x”".encode("cp1252"), "latin1", "“x”"),
        ("<meta charset=windows-1251><title>Птица".encode("cp1251"), None, "Птица"),
        (
            "<meta http-equiv=Content-Type content='text/html; charset=koi8-r'><title>Птица".encode("koi8-r"),
            None,
            "Птица",
        ),
        ("<meta charset=koi8-r><title>Птица".encode(), "utf-8", "Птица"),
        ("\ufeff<meta charset=koi8-r><title>Птица".encode(), "koi8-r", "Птица"),
        ("\ufeff<title>Птица".encode("utf-16-le"), None, "Птица"),
        ("<meta charset=utf-16><title>Птица".encode(), None, "Птица"),
        ("<title>鳥".encode("shift_jis"), "Shift_JIS", "鳥"),
        (b"<title>x\x00y\xff", "utf-8", "xy\ufffd"),
        (b"<title>x", "zlib", "x"),
        (b"<title>x", "no-such-charset", "x"),
        (b"<title>x", "unicode_escape", "x"),
        (b"<title>x", "cp99999", "x"),
        (b"<svg><title> </title></svg><title>x \n y</title>", None, "x y"),
        (b"", None, None),
    ],
)
def test_the_charset_is_that_of_mark_header_or_meta(body: bytes, charset: str | None, title: str | None) -> None:
    assert extract(body, URL, charset).title == title


HOSTILE = [
    "<div>",
    "<b><p>",
    "<figure><figcaption>x",
    "<a href=?",
    "<img src=",
    '<img src="',
    "<picture><source srcset=a>",
]
HOSTILE += [
    "<!--",
    "<",
    "</",
    "<title>",
    "&amp",
    "<script type=application/ld+json>",
    "<b x='>'>",
    "<style>background:url(",
]
HOSTILE += [
    "<img srcset='" + "," * 1000 + "'>",
    "<img style='background:url(\"'>",
    "<meta name=robots",
    "&#" + "9" * 5000,
    "a=b ",
]


@pytest.mark.parametrize("piece", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_page_takes_no_more_time_than_its_length(piece: str) -> None:
    begun = time.process_time()
    extract((piece * (4_000_000 // len(piece))).encode(), URL)
    assert time.process_time() - begun < 20


def test_a_tag_with_a_million_attributes() -> None:
    begun = time.process_time()
    assert shown("<img src=a.jpg " + " ".join(f"a{n}" for n in range(500_000)) + "><img src=b.jpg>") == [
        "a.jpg",
        "b.jpg",
    ]
    assert time.process_time() - begun < 20


def test_millions_of_links_and_pictures_are_cut_short() -> None:
    page = extract("".join(f"<a href={n}><img src={n}.jpg>" for n in range(100_000)).encode(), URL)
    assert (len(page.links), len(page.pictures)) == (10_000, 5000)
    assert page.links[-1] == f"{URL}9999"


WORDS = [
    "<",
    ">",
    "/",
    "=",
    "'",
    '"',
    " ",
    "\n",
    "&",
    "#",
    ";",
    "&#x",
    "\0",
    "é",
    "\ud83d\ude00",
    "<!--",
    "-->",
    "<!",
    "]]>",
]
WORDS += [
    "img",
    "src",
    "srcset",
    "source",
    "picture",
    "a",
    "href",
    "base",
    "meta",
    "name",
    "robots",
    "content",
    "none",
    "{",
    "}",
]
WORDS += [
    "style",
    "background:url(",
    ")",
    "script",
    "application/ld+json",
    "type",
    '{"image":',
    '"a.jpg"',
    "1x",
    "2w",
    ",",
]
WORDS += [
    "figure",
    "figcaption",
    "rel",
    "license",
    "title",
    "//",
    "http://",
    "[",
    "]",
    ":",
    "width",
    "1",
    "og:image",
    "property",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=80).map("".join))
def test_tag_soup_never_raises(soup: str) -> None:
    page = extract(soup.encode("utf-8", "replace"), URL)
    assert all(absolute(URL, url) == url for url in (*page.links, *(picture.url for picture in page.pictures)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.none() | st.text(max_size=20), st.sampled_from([URL, "http://[", "", "x"]))
def test_bytes_never_raise(body: bytes, charset: str | None, url: str) -> None:
    extract(b"<img src=" + body, url, charset)
