"""Validators of an answer, and the conditional request that asks with them whether it still holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

_ETAG = re.compile(r'(?:W/)?"[!#-~]{0,500}"')
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the answer from `url` said of itself. It is told to that URL alone, whatever redirects come before it:
    validators of one URL mean nothing to another, and concern no other host."""

    url: str
    etag: str | None = None
    last_modified: str | None = None

    def headers(self, url: URL) -> dict[str, str]:
        """The headers that make a request to `url` conditional; none where it is another URL."""
        if str(url.with_fragment(None)) != self.url:
            return {}
        told = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in told.items() if value is not None}


def validators(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """ETag and Last-Modified of an answer, word for word; None for one that is missing or malformed."""
    etag, date = headers.get("ETag", ""), headers.get("Last-Modified", "")
    return (etag if _ETAG.fullmatch(etag) else None, date if _DATE.fullmatch(date) else None)
