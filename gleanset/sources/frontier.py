"""The pages and sitemaps that a walk of a website has still to read, small enough to be its cursor."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from hashlib import blake2b
from urllib.parse import urlsplit

_MOST_SITEMAPS = 100
_DEEPEST_SITEMAP = 3
_MOST_CHARACTERS = 1_000_000  # of all URLs that wait
_DIGEST = 8


@dataclass(frozen=True, slots=True)
class Visit:
    """One address to read. `depth`: links away from the start, or indexes away from the first sitemap."""

    url: str
    depth: int
    is_sitemap: bool = False


@dataclass(slots=True)
class Frontier:
    """What waits, in order, and digests of everything that ever did: of 8 bytes, so that no two meet by chance.

    Only as many pages are let in as may be read in all, so what waits is bounded from the first page on, however many
    links there are. `site` is known when the start has been read. `gave`: whether any page or sitemap that may be read
    was had; `passed_over`: why others were not, with how many.
    """

    most_pages: int
    site: str | None = None
    pages: list[Visit] = field(default_factory=list[Visit])
    sitemaps: list[Visit] = field(default_factory=list[Visit])
    let_in_pages: int = 0
    let_in_sitemaps: int = 0
    seen: set[bytes] = field(default_factory=set[bytes])
    characters: int = 0
    gave: bool = False
    passed_over: dict[str, int] = field(default_factory=dict[str, int])

    def pass_over(self, why: str) -> None:
        """Count a page or sitemap that is not to be had."""
        self.passed_over[why] = self.passed_over.get(why, 0) + 1

    def let_in(self, url: str, depth: int) -> None:
        """Have a page wait, unless it did before or there is no room."""
        if self.let_in_pages < self.most_pages and self._is_new(url):
            self.let_in_pages += 1
            self.pages.append(Visit(url, depth))

    def let_in_sitemap(self, url: str, depth: int) -> None:
        """Likewise for a sitemap."""
        if self.let_in_sitemaps < _MOST_SITEMAPS and depth <= _DEEPEST_SITEMAP and self._is_new(url):
            self.let_in_sitemaps += 1
            self.sitemaps.append(Visit(url, depth, is_sitemap=True))

    def _is_new(self, url: str) -> bool:
        if self.characters + len(url) > _MOST_CHARACTERS or not self.meets(url):
            return False
        self.characters += len(url)
        return True

    def meets(self, url: str) -> bool:
        """Whether the URL, such as a redirect leads to, is new. It is not let in from now on."""
        digest = _digest(url)
        if digest in self.seen:
            return False
        self.seen.add(digest)
        return True

    def next(self) -> Visit | None:
        """What to read now, sitemaps before pages; None at the end."""
        queue = self.sitemaps or self.pages
        if not queue:
            return None
        visit = queue.pop(0)
        self.characters -= len(visit.url)
        return visit

    def packed(self) -> str:
        """This frontier as text; equal ones are packed alike."""
        done = self.seen - {_digest(visit.url) for visit in (*self.pages, *self.sitemaps)}
        state = {
            "site": self.site,
            "pages": [[visit.url, visit.depth] for visit in self.pages],
            "sitemaps": [[visit.url, visit.depth] for visit in self.sitemaps],
            "let_in": [self.let_in_pages, self.let_in_sitemaps],
            "done": base64.b85encode(b"".join(sorted(done))).decode(),
            "gave": self.gave,
            "passed_over": self.passed_over,
        }
        text = json.dumps(state, separators=(",", ":"))
        return base64.urlsafe_b64encode(zlib.compress(text.encode())).decode()

    @classmethod
    def unpacked(cls, text: str, most_pages: int) -> Frontier:
        """Raises ValueError for what is no packed frontier."""
        try:
            state = json.loads(zlib.decompress(base64.urlsafe_b64decode(text)))
            pages = [Visit(str(url), int(depth)) for url, depth in state["pages"]]
            sitemaps = [Visit(str(url), int(depth), is_sitemap=True) for url, depth in state["sitemaps"]]
            let_in_pages, let_in_sitemaps = map(int, state["let_in"])
            site, done = state["site"], base64.b85decode(state["done"])
            gave, passed_over = bool(state["gave"]), {str(why): int(n) for why, n in state["passed_over"].items()}
        except (KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
            raise ValueError(f"no frontier: {error!r}") from error
        waiting = [visit.url for visit in (*pages, *sitemaps)]
        seen = {done[start : start + _DIGEST] for start in range(0, len(done), _DIGEST)} | set(map(_digest, waiting))
        characters = sum(map(len, waiting))
        return cls(
            most_pages, site, pages, sitemaps, let_in_pages, let_in_sitemaps, seen, characters, gave, passed_over
        )


def site_of(url: str) -> str:
    """Host and port, without a leading `www.`: pages with the same are of the same site, whatever their scheme."""
    return urlsplit(url).netloc.lower().removeprefix("www.")


def _digest(url: str) -> bytes:
    return blake2b(url.encode(), digest_size=_DIGEST).digest()
