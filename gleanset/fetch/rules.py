"""What a site's own files let us do, and what an answer's headers add to them."""

from __future__ import annotations

from urllib.parse import unquote

from multidict import CIMultiDictProxy
from yarl import URL

from gleanset.book import SiteFiles
from gleanset.errors import FetchFailed, ImageRefused
from gleanset.fetch.optout import robots_tag, tdm_file, tdm_header, tdm_reserved, usage
from gleanset.fetch.pacing import LONGEST_CRAWL_DELAY
from gleanset.fetch.robots import Robots
from gleanset.types import Reason

UNANSWERED = 0
"""In the place of a status: there was an answer, but no end of it that could be read. The text tells why."""


def unreachable(status: int) -> bool:
    """Whether this answer for robots.txt means that nothing is known, and so everything disallowed."""
    return status in (UNANSWERED, 429) or status >= 500


class SiteRules:
    """robots.txt and tdmrep.json of one host, ready to be held to its URLs."""

    def __init__(self, files: SiteFiles) -> None:
        self._status = files.robots_status
        self._cause = files.robots if self.unreachable else ""
        self._robots = Robots(files.robots) if files.robots and not self.unreachable else None
        self._tdm = tdm_file(files.tdm) if files.tdm else ()

    @property
    def unreachable(self) -> bool:
        return unreachable(self._status)

    @property
    def crawl_delay(self) -> float | None:
        return self._robots.crawl_delay if self._robots else None

    def check(self, url: URL) -> None:
        """Raises FetchFailed or ImageRefused when this URL may not be asked for."""
        if self.unreachable:
            raise FetchFailed(Reason.ROBOTS_UNREACHABLE, self._cause or f"HTTP {self._status}")
        if self._robots is None:
            return
        if not self._robots.allows(url):
            raise ImageRefused(Reason.ROBOTS, url.raw_path_qs[:500])
        if self._robots.reserves(url):
            raise ImageRefused(Reason.OPT_OUT_AIPREF, "robots.txt: Content-Usage: train-ai=n")
        delay = self._robots.crawl_delay or 0.0
        if delay > LONGEST_CRAWL_DELAY:
            raise ImageRefused(Reason.CRAWL_DELAY, f"Crawl-delay: {delay:g}, at most {LONGEST_CRAWL_DELAY:g} s")

    def check_headers(self, url: URL, headers: CIMultiDictProxy[str]) -> None:
        """Raises ImageRefused when an answer to this URL opts out, by its headers or by tdmrep.json."""
        if directive := robots_tag(headers.getall("X-Robots-Tag", ())):
            raise ImageRefused(Reason.OPT_OUT_HEADER, f"X-Robots-Tag: {directive}")
        if usage(headers.getall("Content-Usage", ())) is False:
            raise ImageRefused(Reason.OPT_OUT_AIPREF, "Content-Usage: train-ai=n")
        said = tdm_header(headers.getall("tdm-reservation", ()))
        if said is None and self._tdm and tdm_reserved(self._tdm, unquote(url.raw_path_qs)):
            raise ImageRefused(Reason.OPT_OUT_TDM, "/.well-known/tdmrep.json")
        if said:
            policy = headers.get("tdm-policy", "none").encode("ascii", "replace").decode()
            raise ImageRefused(Reason.OPT_OUT_TDM, f"tdm-reservation: 1, tdm-policy: {policy[:500]}")
