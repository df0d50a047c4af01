"""What a crawl wants of a web page: its pictures, its links, and whether it lets us have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from gleanset.sources import jsonld
from gleanset.sources.licence import parse_licence
from gleanset.sources.markup import Tag, decoded, pieces, unescape
from gleanset.sources.pictures import Picture, Variant, absolute, largest, merged, srcset
from gleanset.sources.text import clean, integer
from gleanset.types import Licence

PRODUCT = "gleanset"
_MOST_PICTURES = 5000
_MOST_LINKS = 10_000
_MOST_FINDS = 20_000
_MOST_SOURCES = 50
_DEEPEST = 50
_LONGEST = 2000
_SETS = ("data-srcset", "data-lazy-srcset", "srcset")
_LINKS = ("data-src", "data-lazy-src", "data-original", "src")
_READ = {
    "img",
    "picture",
    "source",
    "figure",
    "figcaption",
    "a",
    "area",
    "link",
    "meta",
    "base",
    "title",
    "style",
    "script",
}
_NO_PICTURES = {"noindex", "none", "noimageindex", "noai", "noimageai"}
NO_LINKS = {"nofollow", "none"}
"""What robots are told that shall not follow a page's links."""
_BACKGROUND = re.compile(r"background(?:-image)?\s*+:([^;{}]*+)", re.IGNORECASE)
_CSS_URL = re.compile(r"url\(\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^)\"'\s]*+))", re.IGNORECASE)
_SOCIAL = {"og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src"}
_STATED = {f"{image}:{name}": name for image in ("og:image", "twitter:image") for name in ("alt", "width", "height")}


@dataclass(frozen=True, slots=True)
class WebPage:
    """`pictures` is empty where the page opts out of being collected, by the tag that `refused` tells of, and `links`
    where it asks not to be followed."""

    title: str | None
    pictures: tuple[Picture, ...]
    links: tuple[str, ...]
    refused: str | None = None


@dataclass(slots=True)
class _Figure:
    caption: list[str] = field(default_factory=list[str])
    licences: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Found:
    """A picture as its tag states it; its links have no meaning before the page's base is known."""

    found: str
    variants: list[Variant]
    stated: Mapping[str, str] = field(default_factory=dict[str, str])
    figure: _Figure | None = None


def extract(body: bytes, url: str, charset: str | None = None) -> WebPage:
    """What the page at `url` holds; `charset` is that of its header. Takes any bytes."""
    reader = _Reader()
    for piece in pieces(decoded(body, charset)):
        reader.take(piece)
    return reader.page(url)


class _Reader:
    """Goes through a page once, tag by tag."""

    def __init__(self) -> None:
        self._title: str | None = None
        self._base: str | None = None
        self._found: list[_Found | str] = []  # a text is a script of JSON-LD
        self._links: dict[str, None] = {}
        self._licences: list[str] = []
        self._refused: str | None = None
        self._may_follow = True
        self._figures: list[_Figure] = []
        self._captioned: _Figure | None = None
        self._sources: list[Variant] | None = None
        self._social: _Found | None = None

    def page(self, url: str) -> WebPage:
        base = absolute(url, self._base) or url
        pictures = merged(_pictures(self._found, base), _MOST_PICTURES) if self._refused is None else ()
        licence = _one_licence(self._licences, base)
        links = dict.fromkeys(link for href in self._links if (link := absolute(base, href)))
        return WebPage(
            self._title,
            tuple(_licensed(picture, licence, "page") for picture in pictures),
            tuple(links) if self._may_follow else (),
            self._refused,
        )

    def take(self, piece: Tag | str) -> None:
        if isinstance(piece, str):
            if self._captioned is not None and len(self._captioned.caption) < _LONGEST:
                self._captioned.caption.append(unescape(piece[:_LONGEST]))
        elif piece.is_end:
            self._end(piece.name)
        else:
            self._start(piece)

    def _end(self, name: str) -> None:
        if name in {"figcaption", "figure"}:
            self._captioned = None
        if name == "figure" and self._figures:
            self._figures.pop()
        elif name == "picture":
            self._sources = None

    def _start(self, tag: Tag) -> None:
        if tag.name not in _READ and "(" not in tag.raw:
            return
        stated = tag.attributes()
        self._css(stated.get("style", ""))
        match tag.name:
            case "img":
                self._image(stated)
            case "picture":
                self._sources = []
            case "source" if self._sources is not None:
                self._source(self._sources, stated)
            case "figure":
                self._figures = [*self._figures[-_DEEPEST:], _Figure()]
            case "figcaption":
                self._captioned = self._figures[-1] if self._figures else None
            case "a" | "area" | "link":
                self._link(tag.name, stated)
            case "meta":
                self._meta(stated)
            case "base":
                self._base = self._base or stated.get("href")
            case "title":
                self._title = self._title or _tidy(unescape(tag.text[:_LONGEST]))
            case "style":
                self._css(tag.text)
            case "script" if stated.get("type", "").strip().lower() == "application/ld+json":
                self._keep(tag.text)
            case _:
                pass

    def _keep(self, found: _Found | str) -> None:
        if len(self._found) < _MOST_FINDS:
            self._found.append(found)

    def _image(self, stated: Mapping[str, str]) -> None:
        variants = [*_variants(stated), *(self._sources or ())]
        self._sources = None if self._sources is None else []
        if not (_is_dot(stated.get("width")) and _is_dot(stated.get("height"))):
            self._keep(_Found("img", variants, stated, self._figures[-1] if self._figures else None))

    def _source(self, sources: list[Variant], stated: Mapping[str, str]) -> None:
        if "svg" not in stated.get("type", "").lower() and len(sources) < _MOST_SOURCES:
            sources.extend(_variants(stated))

    def _link(self, tag: str, stated: Mapping[str, str]) -> None:
        href, rel = stated.get("href"), stated.get("rel", "").lower().split()
        if not href:
            return
        if "license" in rel:
            licences = self._figures[-1].licences if self._figures else self._licences
            licences.append(href)
        if tag != "link" and "nofollow" not in rel and len(self._links) < _MOST_LINKS:
            self._links[href] = None

    def _meta(self, stated: Mapping[str, str]) -> None:
        name = (stated.get("property") or stated.get("name", "")).strip().lower()
        content = stated.get("content", "").strip()
        if name in {"robots", PRODUCT}:
            directives = [word.strip() for word in content.lower().split(",")]
            said = next((word for word in directives if word in _NO_PICTURES), None)
            self._refused = self._refused or (said and f"{name}: {said}")
            self._may_follow = self._may_follow and NO_LINKS.isdisjoint(directives)
        elif name == "tdm-reservation":
            self._refused = self._refused or ("tdm-reservation: 1" if content == "1" else None)
        elif name == "og:image:secure_url" and self._social is not None and self._social.found == "og":
            self._social.variants = [Variant(content)]
        elif name in _SOCIAL:
            self._social = _Found(name.partition(":")[0], [Variant(content)])
            self._keep(self._social)
        elif name in _STATED and self._social is not None:
            self._social.stated = {_STATED[name]: content, **self._social.stated}

    def _css(self, style: str) -> None:
        for declaration in _BACKGROUND.finditer(style):
            for url in _CSS_URL.finditer(declaration[1]):
                self._keep(_Found("css", [Variant(url[1] or url[2] or url[3] or "")]))


def _variants(stated: Mapping[str, str]) -> list[Variant]:
    """Every URL of an `img` or `source`. What is there to be loaded late comes first: `src` is often a placeholder."""
    sets = [variant for name in _SETS if name in stated for variant in srcset(stated[name])]
    return sets + [Variant(stated[name].strip()) for name in _LINKS if name in stated]


def _pictures(found: Sequence[_Found | str], base: str) -> Iterator[Picture]:
    for item in found:
        if isinstance(item, str):
            yield from islice(jsonld.pictures(item, base), _MOST_PICTURES)
        elif best := largest(base, item.variants):
            yield _picture(item, base, *best)


def _picture(item: _Found, base: str, url: str, width: int | None) -> Picture:
    figure = item.figure or _Figure()
    picture = Picture(
        url=url,
        found=item.found,
        title=_tidy(item.stated.get("title")),
        alt=_tidy(item.stated.get("alt")),
        caption=_tidy("".join(figure.caption)),
        width=width or _pixels(item.stated.get("width")),
        height=None if width else _pixels(item.stated.get("height")),
    )
    return _licensed(picture, _one_licence(figure.licences, base), "figure")


def _licensed(picture: Picture, licence: Licence | None, stated_by: str) -> Picture:
    """The picture with the licence of what it is part of, unless it has one of its own."""
    if licence is None or picture.licence is not None:
        return picture
    return replace(picture, licence=licence, extra=picture.extra | {"licence_from": stated_by})


def _one_licence(links: Sequence[str], base: str) -> Licence | None:
    """The licence of `rel=license` links; None when they name several, since nothing says which is whose."""
    stated = {parse_licence(None, url=url) for url in {absolute(base, link) for link in links[:_MOST_SOURCES]} if url}
    return next(iter(stated)) if len(stated) == 1 else None


def _is_dot(length: str | None) -> bool:
    number = integer((length or "").strip().removesuffix("px"))
    return number is not None and number <= 1


def _pixels(length: str | None) -> int | None:
    number = integer((length or "").strip().removesuffix("px"))
    return number if number is not None and 1 < number < 2**31 else None


def _tidy(text: str | None) -> str | None:
    return clean(" ".join((text or "").split())[:_LONGEST])
