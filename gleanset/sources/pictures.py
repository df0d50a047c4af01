"""What a page or a sitemap says of one picture, and the URLs it is written with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from gleanset.sources.text import storable
from gleanset.types import Licence

LONGEST_URL = 2048
_MOST_WORDS = 400
_DESCRIPTOR = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([wx])")
_PORTS = {"http": 80, "https": 443}
_AS_WRITTEN = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture by its absolute URL. `found` tells where it was: img, og, twitter, css, json-ld or sitemap."""

    url: str
    found: str
    title: str | None = None
    alt: str | None = None
    caption: str | None = None
    width: int | None = None
    height: int | None = None
    licence: Licence | None = None
    creator: str | None = None
    creator_url: str | None = None
    attribution: str | None = None
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def completed(self, other: Picture) -> Picture:
        """This picture, with what only the other one says of the same URL."""
        missing = {
            entry.name: value
            for entry in fields(self)
            if getattr(self, entry.name) is None and (value := getattr(other, entry.name)) is not None
        }
        return replace(self, **missing, extra=other.extra | self.extra)


def merged(pictures: Iterable[Picture], most: int) -> tuple[Picture, ...]:
    """Each URL once, in the order of first sight; at most `most` of them."""
    found: dict[str, Picture] = {}
    for picture in pictures:
        known = found.get(picture.url)
        if known is not None:
            found[picture.url] = known.completed(picture)
        elif len(found) < most:
            found[picture.url] = picture
    return tuple(found.values())


def absolute(base: str, link: str | None) -> str | None:
    """The http(s) URL that a link means, written one way: no fragment, no usual port. None for all other links."""
    if not link or len(link) > LONGEST_URL:
        return None
    try:
        parts = urlsplit(urljoin(base, storable(link).strip()))
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc:
        return None
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != _PORTS[parts.scheme]:
        host += f":{port}"
    url = parts._replace(netloc=host, path=parts.path or "/", fragment="").geturl()
    url = quote(url, safe=_AS_WRITTEN)
    return url if len(url) <= LONGEST_URL else None


def picture_url(base: str, link: str | None) -> str | None:
    """As `absolute`, for what may be a picture of pixels: no SVG."""
    url = absolute(base, link)
    return None if url is None or urlsplit(url).path.lower().endswith((".svg", ".svgz")) else url


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the URLs of a picture, with its width in pixels or its density as its page states them."""

    link: str
    width: int = 0
    density: float = 1.0


def srcset(value: str) -> Iterator[Variant]:
    """The entries of a `srcset`, whose URLs may have commas within."""
    link, descriptors = "", list[str]()
    for word in value.split(maxsplit=_MOST_WORDS)[:_MOST_WORDS]:
        if not link:
            link = word.lstrip(",")
            if link.endswith(","):
                yield Variant(link.rstrip(","))
                link = ""
            continue
        descriptor, comma, following = word.partition(",")
        descriptors.append(descriptor)
        if comma:
            yield _variant(link, descriptors)
            link, descriptors = following.strip(","), []
    if link:
        yield _variant(link, descriptors)


def _variant(link: str, descriptors: list[str]) -> Variant:
    width, density = 0, 1.0
    for match in map(_DESCRIPTOR.fullmatch, descriptors):
        if match and match[2] == "w":
            width = int(float(match[1]))
        elif match:
            density = float(match[1])
    return Variant(link, width, density)


def largest(base: str, variants: Iterable[Variant]) -> tuple[str, int | None] | None:
    """URL and stated width of the largest variant that may be a picture; the first of equals."""
    for variant in sorted(variants, key=lambda variant: (variant.width, variant.density), reverse=True):
        url = picture_url(base, variant.link)
        if url:
            return url, variant.width or None
    return None
