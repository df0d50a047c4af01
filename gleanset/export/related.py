"""Which images belong together: copies of each other, and the series of one creator. A split must not part them.

A split over images that are alike measures memory, not learning: the near-duplicate of a test picture in the training
set is an answer that was seen before, and so is the next frame of the same photographer's series.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from gleanset.similar import groups

LEAST_QUALITY = 50
"""PDQ quality below which the hash of a picture says too little, by itself, to call another one its copy."""
_PLAIN = 60
"""Below it pictures are copies when their measures agree, too: a copy of one of quality 52 may have 48."""
_ALIKE = np.array([0.005, 0.005, 4.0])
"""By how much the measures of a plain picture's copy differ, at most, in brightness, contrast and colour."""

Numbers = NDArray[np.int64]
Prints = NDArray[np.uint64]

_NOBODY = {
    "", "-", "?", "unknown", "unknown author", "unknown artist", "unknown photographer", "not known", "n/a", "na",
    "none", "null", "nobody", "anonymous", "anon", "various", "various artists", "various authors", "multiple",
    "author unknown", "artist unknown", "unidentified", "unattributed", "not stated", "see description",
}  # fmt: skip
"""What sources write where they know no creator; it makes no series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What decides where images go, an image a row of each array: 101 bytes an image.

    sha256, pdq: n x 32 bytes. pdq_quality: 0 for images without a PDQ. label: `fingerprint` of its name. series, name:
    as `series_of` and `name_of` give them. measures: n x 3, brightness, contrast and colour; NaN where not known.
    """

    sha256: NDArray[np.uint8]
    label: Prints
    series: Prints
    name: Prints
    pdq: NDArray[np.uint8]
    pdq_quality: NDArray[np.uint8]
    measures: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.sha256)


def fingerprint(*texts: str) -> int:
    """A number from 1 to 2^64 - 1 for names. Two that share one, by a chance of one in 2^64, count as the same."""
    digest = hashlib.blake2b("\0".join(texts).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) or 1


def series_of(source: str | None, creator: str | None, creator_url: str | None) -> int:
    """The series that an image is of, 0 for none: all of one creator.

    Who has a page is known by it, whichever source leads there; others are known by their name.
    """
    if creator_url and creator_url.strip():
        return fingerprint("url", _person(creator_url))
    return name_of(source, creator)


@lru_cache(10_000)
def name_of(source: str | None, creator: str | None) -> int:
    """The name of a creator at one source, in whatever case and spacing; 0 for none, and for `unknown` and the like."""
    name = " ".join(unicodedata.normalize("NFKC", creator or "").casefold().split())
    return 0 if name.strip("().[] ") in _NOBODY else fingerprint("name", source or "", name)


def _person(url: str) -> str:
    """A person's page in one of the ways in which it is written."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return url.strip()
    host, path = parts.netloc.lower().removeprefix("www."), parts.path.rstrip("/")
    if host == "flickr.com":  # their pictures are at one of these, their profile at the other
        path = _FLICKR.sub(r"/people/\1", path)
    query, fragment = parts.query and f"?{parts.query}", parts.fragment and f"#{parts.fragment}"
    return f"{host}{path}{query}{fragment}"  # behind a # some sites have the whole path


_FLICKR = re.compile(r"^/(?:photos|people)/([^/]+).*")


def related(traits: Traits, *, near_duplicates: bool = True, series: bool = True) -> Numbers:
    """For each image the index of the first of its group: of all that a chain of relations connects.

    The same bytes always belong together, whatever else is asked for.
    """
    return _connected(len(traits), _pairs(traits, near_duplicates=near_duplicates, series=series))


def _pairs(traits: Traits, *, near_duplicates: bool, series: bool) -> Iterator[tuple[Numbers, Numbers]]:
    """Pairs that connect all that is related, one relation after the other: what takes most memory first, and alone."""
    if near_duplicates:
        tells = traits.pdq_quality >= LEAST_QUALITY
        if tells.all():
            yield np.arange(len(traits)), groups(traits.pdq)
        else:
            telling = np.flatnonzero(tells)
            yield telling, telling[groups(traits.pdq[telling])]
        _give_back()
        yield from _plain_pairs(traits)
    yield np.arange(len(traits)), first_of(as_text(traits.sha256))
    if series:
        signed = np.flatnonzero(traits.series)
        yield signed, signed[first_of(traits.series[signed])]
        # Who is known by the name alone may be each of those who have that name and a page.
        named = np.flatnonzero((traits.name != 0) & np.isin(traits.name, traits.series))
        yield named, named[first_of(traits.name[named])]


def _plain_pairs(traits: Traits) -> Iterator[tuple[Numbers, Numbers]]:
    """The same of plain pictures: near hashes, and measures in one cell of a grid.

    A cell is twice as wide as measures may differ, and every axis has two grids, one half a cell behind the other: what
    differs by less is in one cell of one of them. Bits of its own are added to the hashes of each cell, so that those
    of two cells are as far apart as strangers, and `groups` does all cells at once.
    """
    plain = np.flatnonzero((traits.pdq_quality < _PLAIN) & np.isfinite(traits.measures).all(axis=1))
    if not len(plain):
        return
    places = traits.measures[plain] / (2 * _ALIKE)
    for behind in product((0.0, 0.5), repeat=places.shape[1]):
        cells, which = np.unique(np.floor(places + behind), axis=0, return_inverse=True)
        added = np.random.default_rng(0).integers(0, 256, (len(cells), traits.pdq.shape[1]), np.uint8)
        yield plain, plain[groups(traits.pdq[plain] ^ added[which])]


def _give_back() -> None:
    """What many threads took and freed goes back to the system, where the C library is one that can be asked to."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def as_text(hashes: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """n x 32 bytes as n values that sort and compare."""
    return np.ascontiguousarray(hashes).view("S32").reshape(-1)


def first_of(values: NDArray[np.bytes_] | Prints) -> Numbers:
    """For each value the index of the first that equals it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(values)]
    first = np.empty(len(values), np.int64)
    first[order] = order[begins][np.cumsum(begins) - 1]
    return first


def _connected(size: int, pairs: Iterable[tuple[Numbers, Numbers]]) -> Numbers:
    """For each index the smallest that pairs connect it with, by unions of whole arrays."""
    parent: Numbers | None = None
    for left, right in pairs:
        parent = np.arange(size) if parent is None else parent  # no sooner than the first pairs are found
        while len(left):
            left, right = parent[left], parent[right]
            apart = left != right
            left, right = left[apart], right[apart]
            np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
            parent = _flat(parent)
    return np.arange(size) if parent is None else parent


def _flat(parent: Numbers) -> Numbers:
    while not np.array_equal(above := parent[parent], parent):
        parent = above
    return parent
