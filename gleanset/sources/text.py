"""Foreign values made safe: whatever an API or a list holds becomes plain text, an integer or JSON, or nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from html.parser import HTMLParser
from typing import Any, cast

_HIDDEN = {"script", "style"}
_INLINE = {"a", "abbr", "b", "bdi", "cite", "em", "font", "i", "s", "small", "span", "strong", "sub", "sup", "u"}


def as_dict(value: Any) -> dict[str, Any]:
    """The JSON object, or an empty one when the value is something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The JSON array, or an empty one when the value is something else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def storable(text: str) -> str:
    """The text without what PostgreSQL and UTF-8 cannot hold: NUL and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def clean(value: Any) -> str | None:
    """Text or a number as trimmed text; None for anything else and for empty text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return storable(str(value)).strip() or None


def integer(value: Any) -> int | None:
    """The whole number a value stands for (`12`, `12.0`, `"12"`), or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, int):
        return value
    try:
        return int(value) if isinstance(value, str) else None
    except ValueError:
        return None


_DEEPEST = 32


def jsonable(value: Any, depth: int = 0) -> Any:
    """The value as strict JSON that a JSONB column takes; what has no such form or nests too deep is None or text."""
    if depth > _DEEPEST:
        return None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return {storable(str(key)): jsonable(item, depth + 1) for key, item in pairs}
    if isinstance(value, list | tuple | set):
        return [jsonable(item, depth + 1) for item in cast("list[Any]", value)]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return None  # pictures and the like: they belong in the store, not in metadata
    return storable(str(value))


def without_nothing(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that say something: None, empty text and empty lists are left out."""
    return {key: value for key, value in values.items() if value is not None and value != "" and value != []}


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.link: str | None = None
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        if tag not in _INLINE:
            self.parts.append(" ")
        if tag == "a" and self.link is None:
            self.link = dict(attrs).get("href")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN and self._hidden:
            self._hidden -= 1
        if tag not in _INLINE:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


# Python reads the digits of a character reference as a number, and refuses one of thousands of digits.
_NO_CHARACTER = re.compile(r"&#(?:\d{8,}|[xX][0-9a-fA-F]{7,});?")


def _parse(html: Any) -> _Text:
    parser = _Text()
    parser.feed(_NO_CHARACTER.sub("\ufffd", clean(html) or ""))
    parser.close()
    return parser


def plain(html: Any) -> str | None:
    """The text of an HTML fragment on one line, entities resolved; None when there is none."""
    return clean(" ".join("".join(_parse(html).parts).split()))


def first_link(html: Any) -> str | None:
    """The target of the first link in an HTML fragment, as written."""
    return clean(_parse(html).link)
