"""Pacing of one host: how many requests at once, how soon after one another, and how long it wants quiet."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gleanset.types import Pace

LONGEST_CRAWL_DELAY = 30.0
"""Seconds. A host that wants longer pauses than this is not crawled at all: a few pictures an hour are no crawl."""

LONGEST_QUIET = 86_400.0
"""Seconds. A Retry-After past this is a mistake that would close the host to all jobs for good."""

LONGEST_BACK_OFF = 300.0
"""Seconds of quiet that a host gets at most for a refusal that does not say how long."""


_LEAST_BACK_OFF = 0.1


class Pacer:
    """Says when the next request may start. Times are those of one monotonic clock."""

    def __init__(self, pace: Pace) -> None:
        self.slots = asyncio.Semaphore(pace.at_once)
        self.ready_at = 0.0
        self.quiet_until = 0.0
        self.back_off = 0.0
        self._paid_until = 0.0
        self._pace = pace
        self._interval = pace.interval

    @property
    def interval(self) -> float:
        return self._interval

    def keep_crawl_delay(self, seconds: float | None) -> None:
        """The host's own wish for the pause between two requests; it lengthens ours, and never shortens it."""
        before = self._interval
        self._interval = max(self._pace.interval, min(seconds or 0.0, LONGEST_CRAWL_DELAY))
        self.ready_at += self._interval - before  # counted from the request that was the last

    def wait(self, now: float) -> float:
        """Seconds until a request may start; not above 0 when it may start now."""
        return max(self.ready_at, self.quiet_until) - now

    def start(self, now: float) -> None:
        """A request starts."""
        self.ready_at = max(self.ready_at, now) + self._interval

    def came(self, began: float, size: int) -> None:
        """A request that began then brought so many bytes: the next one starts when the rate has room again."""
        if self._pace.rate:
            self._paid_until = max(self._paid_until, began) + size / self._pace.rate
            self.ready_at = max(self.ready_at, self._paid_until)

    def quiet(self, until: float) -> None:
        """Ask nothing of this host before `until`: a 429 or 503 concerns the host, not the one request."""
        self.quiet_until = max(self.quiet_until, until)

    def refused(self, now: float, first: float, asked: float) -> None:
        """A 429 or 503 came, which `asked` for so many seconds or for none; `first` is what it gets at least.

        Each one in a row doubles the quiet that a refusal gets; one that was under way when another came does not.
        """
        if now >= self.quiet_until:
            self.back_off = min(max(2 * self.back_off, first), LONGEST_BACK_OFF)
        self.quiet(now + min(max(self.back_off, first, asked), LONGEST_QUIET))

    def relented(self) -> None:
        """A good answer came."""
        self.back_off = self.back_off / 2 if self.back_off > _LEAST_BACK_OFF else 0.0


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, a number or an HTTP date (RFC 9110, 10.2.3); None if absent or invalid."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
