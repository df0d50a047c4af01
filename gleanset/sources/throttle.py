"""How services ask for quiet: by a status, and by headers that tell when there will be room again."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gleanset.sources.text import integer

_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AVAILABLE = "x-ratelimit-available-"
_UNIX_TIME = 1_000_000_000  # a reset this large is a moment, not a number of seconds
_LONGEST_PAUSE = 31 * 86400.0


@dataclass(frozen=True, slots=True)
class Throttle:
    """The `statuses` by which a service asks for quiet, and what it gets.

    `pauses`: seconds of quiet after each such answer in turn, unless it says how long. One more of them behind the last
    pause is final.
    """

    statuses: Collection[int] = (429,)
    pauses: Sequence[float] = (30.0, 30.0)


def exhausted_for(headers: Mapping[str, str]) -> float | None:
    """Seconds until every throttle that the headers call used up has room again, or None when all have.

    With `X-RateLimit-Available-<scope>` the services count over a sliding window, so a whole period (`min` of
    `20/min`) after the last request is safe. With `X-RateLimit-Remaining`, `X-RateLimit-Reset` says when.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    pauses = [
        _period(lower.get(f"x-ratelimit-limit-{name.removeprefix(_AVAILABLE)}", ""))
        for name, value in lower.items()
        if name.startswith(_AVAILABLE) and (available := integer(value)) is not None and available <= 0
    ]
    remaining = integer(lower.get("x-ratelimit-remaining"))
    if remaining is not None and remaining <= 0:
        pauses.append(_until_reset(lower.get("x-ratelimit-reset")))
    return max(pauses, default=None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date; None when it says nothing."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 1.0)


def _period(limit: str) -> float:
    match = re.fullmatch(r"\s*\d+\s*/\s*(\d*)\s*([smhd])[a-z]*\s*", limit.lower())
    return float(match[1] or 1) * _PERIODS[match[2]] if match else _PERIODS["m"]


def _until_reset(reset: str | None) -> float:
    """Seconds until `X-RateLimit-Reset`, which is a number of seconds at some services and Unix time at others."""
    seconds = integer(reset)
    if seconds is None:
        return _PERIODS["m"]
    if seconds >= _UNIX_TIME:
        seconds -= int(time.time())
    return float(min(max(seconds, 1), _LONGEST_PAUSE))
