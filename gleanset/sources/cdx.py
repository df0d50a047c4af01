"""Answers of a capture index (CDX): one JSON object a line, a capture each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gleanset.errors import SourceError
from gleanset.sources.text import as_dict, clean

Capture = Mapping[str, Any]


class Memory:
    """On which page of a site each URL and each digest was given first, for the first `pages` pages.

    A page that is read again gives what it gave before.
    """

    def __init__(self) -> None:
        self.pages = 0
        self._first: dict[str, int] = {}

    def fresh(self, number: int, captures: list[Capture]) -> list[Capture]:
        """Those captures whose URL and digest were not given before; all earlier pages must have been seen."""
        here: set[str] = set()
        found: list[Capture] = []
        for capture in captures:
            marks = {mark for name in ("url", "digest") if (mark := clean(capture.get(name)))}
            if here.isdisjoint(marks) and all(self._first.get(mark, number) >= number for mark in marks):
                here |= marks
                found.append(capture)
        for mark in here:
            self._first[mark] = number
        self.pages = max(self.pages, number + 1)
        return found


def pictures(body: bytes) -> list[Capture]:
    """The captures of pictures in an answer of one JSON object a line, some of which may be broken."""
    lines = [line for line in body.splitlines() if line.strip()]
    captures = list(_objects(lines))
    if lines and not captures:
        raise SourceError("Common Crawl sent an answer without a line of valid JSON. Try again later.", retryable=True)
    return [capture for capture in captures if _is_picture(capture)]


def _objects(lines: list[bytes]) -> Iterator[Capture]:
    for line in lines:
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield as_dict(value)


def _is_picture(capture: Capture) -> bool:
    """Whether the server called it a picture, sent one, and Common Crawl saw one where it looked."""
    said = clean(capture.get("mime")) or ""
    seen = clean(capture.get("mime-detected")) or said
    both = said.startswith("image/") and seen.startswith("image/")
    return both and clean(capture.get("status")) == "200" and clean(capture.get("url")) is not None
