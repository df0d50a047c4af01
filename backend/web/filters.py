"""How pages write numbers, sizes, times and words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup


def number(value: float) -> str:
    """Whole numbers with thin groups of three; others with one digit behind the point."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def size(count: int) -> str:
    """Bytes as people say them, in steps of a thousand."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def duration(seconds: float) -> str:
    """A span of time in its two largest units."""
    whole = max(0, round(seconds))
    for unit, length, below, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // part} {below}"
    return f"{whole} s"


def when(moment: datetime) -> Markup:
    """A time element: the date and time in UTC, also for programs."""
    utc = moment.astimezone(UTC)
    template = Markup('<time datetime="{}">{}</time>')
    return template.format(utc.isoformat(timespec="seconds"), f"{utc:%Y-%m-%d %H:%M} UTC")


def words(code: str) -> str:
    """A code such as `not_found` or `crawl_job.completed` as words."""
    return code.replace("_", " ").replace(".", " ")


def elsewhere(url: str | None) -> str:
    """An address that somebody else stated, for a link: only ones of the web."""
    return url if url is not None and url.startswith(("http://", "https://")) else "#"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """`1 image`, `2 images`."""
    return f"{number(amount)} {noun if amount == 1 else plural or noun + 's'}"


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "bytes": size,
    "duration": duration,
    "when": when,
    "words": words,
    "count": count,
    "elsewhere": elsewhere,
}
