"""Per-host pacing: how many requests at once, and when a host that asked for quiet may be asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class Host:
    """One authority (host and port) and what it lets us do."""

    def __init__(self, concurrency: int) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._quiet_until = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Hold one of the host's slots, not before a back-off of the whole host is over."""
        async with self._slots:
            while (wait := self._quiet_until - time.monotonic()) > 0:  # noqa: ASYNC110 - it may be moved on meanwhile
                await asyncio.sleep(wait)
            yield

    def back_off(self, seconds: float) -> None:
        """Ask nothing of this host for `seconds`: a 429 or 503 concerns the host, not the one request."""
        self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)


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
