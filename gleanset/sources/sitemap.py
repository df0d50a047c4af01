"""Sitemaps (sitemaps.org, with Google's image entries): bytes in, URLs out, whatever the bytes are."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from gleanset.sources.licence import parse_licence
from gleanset.sources.pictures import LONGEST_URL, Picture, absolute, merged, picture_url
from gleanset.sources.text import clean

MOST_BYTES = 50 * 1024 * 1024  # unpacked; what the protocol allows
MOST_ITEMS = 50_000  # likewise, here of pages, pictures and nested sitemaps together
_DEEPEST = 16
_LONGEST = 2000
_PART = 256 * 1024
_GZIP = b"\x1f\x8b"
_ROOT = re.compile(rb"<(?:\w+:)?(?:urlset|sitemapindex)[\s>]")
_LISTED = re.compile(rb"^[ \t]*sitemap[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sitemap:
    """What a sitemap lists. `pictures` come with the URL of the page that shows each."""

    pages: tuple[str, ...]
    pictures: tuple[tuple[str, Picture], ...]
    sitemaps: tuple[str, ...]


class _Stop(Exception):
    """Enough has been read, or the document does what no sitemap needs."""


def is_sitemap(body: bytes) -> bool:
    """Whether the bytes, packed or not, begin as a sitemap does."""
    return _ROOT.search(next(_unpacked(body[:4096], MOST_BYTES), b"")[:4096]) is not None


def parse(body: bytes, url: str, *, most_bytes: int = MOST_BYTES, most_items: int = MOST_ITEMS) -> Sitemap:
    """What the sitemap at `url` lists, up to where it ends, breaks off, is malformed or goes past a limit.

    A document type is where it ends too: entities are never resolved, from within or without.
    """
    reader = _Reader(url, most_items)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        for part in _unpacked(body, most_bytes):
            parser.Parse(part, False)
    except (_Stop, expat.ExpatError, ValueError, LookupError):
        pass
    return reader.sitemap()


def listed_in(robots: bytes) -> list[str]:
    """The addresses on the Sitemap lines of a robots.txt."""
    return [match[1].decode("utf-8", "replace") for match in _LISTED.finditer(robots)]


def _unpacked(body: bytes, most_bytes: int) -> Iterator[bytes]:
    """The document in parts of bounded size; of a damaged gzip file what can be unpacked."""
    left = most_bytes
    if not body.startswith(_GZIP):
        for start in range(0, min(len(body), left), _PART):
            yield body[start : min(start + _PART, left)]
        return
    packed, unpacker = body, zlib.decompressobj(wbits=31)
    while left > 0 and not unpacker.eof:
        try:
            part = unpacker.decompress(packed, min(_PART, left))
        except zlib.error:
            return
        if not part:
            return
        yield part
        left -= len(part)
        packed = unpacker.unconsumed_tail


class _Reader:
    """Elements by their names without prefix: sitemaps are often written with prefixes that nothing declares."""

    def __init__(self, url: str, most_items: int) -> None:
        self._url = url
        self._left = most_items
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._page: str | None = None
        self._image: dict[str, str] = {}
        self._images: list[Picture] = []
        self._pages: dict[str, None] = {}
        self._pictures: list[tuple[str, Picture]] = []
        self._sitemaps: dict[str, None] = {}

    def sitemap(self) -> Sitemap:
        page_of: dict[str, str] = {}
        for page, picture in self._pictures:
            page_of.setdefault(picture.url, page)
        once = merged((picture for _, picture in self._pictures), len(self._pictures))
        return Sitemap(
            tuple(self._pages), tuple((page_of[picture.url], picture) for picture in once), tuple(self._sitemaps)
        )

    def refuse(self, *_: object) -> None:
        raise _Stop

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._path.append(name.rpartition(":")[2])
        self._text, self._length = [], 0
        if len(self._path) > _DEEPEST:
            raise _Stop

    def text(self, text: str) -> None:
        if self._length < LONGEST_URL:
            self._text.append(text)
            self._length += len(text)

    def end(self, _name: str) -> None:
        name = self._path.pop()
        parent = self._path[-1] if self._path else ""
        text = clean("".join(self._text)[: LONGEST_URL + 1])
        self._text, self._length = [], 0
        if parent == "image" and text:
            self._image[name] = text
        elif name == "loc" and parent == "url":
            self._page = absolute(self._url, text)
        elif name == "loc" and parent == "sitemap" and (nested := absolute(self._url, text)):
            self._count()
            self._sitemaps[nested] = None
        elif name == "image":
            self._end_image()
        elif name == "url" and parent == "urlset":
            self._end_url()

    def _end_image(self) -> None:
        image, self._image = self._image, {}
        url = picture_url(self._url, image.get("loc"))
        if url is None:
            return
        self._count()
        licence = absolute(self._url, image.get("license"))
        self._images.append(
            Picture(
                url=url,
                found="sitemap",
                title=_short(image.get("title")),
                caption=_short(image.get("caption")),
                licence=parse_licence(None, url=licence) if licence else None,
            )
        )

    def _end_url(self) -> None:
        page, images = self._page, self._images
        self._page, self._images = None, []
        if page is not None:
            self._pictures += [(page, image) for image in images]
            self._count()
            self._pages[page] = None

    def _count(self) -> None:
        if self._left == 0:
            raise _Stop
        self._left -= 1


def _short(text: str | None) -> str | None:
    return clean(" ".join((text or "").split())[:_LONGEST])
