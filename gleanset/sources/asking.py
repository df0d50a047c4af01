"""What sources make of a query and a cursor before they ask: checked, and refused in a sentence."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gleanset.errors import SourceError
from gleanset.sources.text import as_list, clean, integer
from gleanset.types import Query


def options_of(query: Query, service: str, known: Collection[str] = ()) -> dict[str, str]:
    """The query's options as parameters of a URL. Raises SourceError for one that is not known."""
    unknown = sorted(set(query.options) - set(known))
    if unknown:
        hint = f" Its options are: {', '.join(known)}." if known else ""
        raise SourceError(f"{service} has no option {', '.join(unknown)}.{hint}")
    return {name: _parameter(value) for name, value in query.options.items()}


def keyword_of(query: Query, service: str) -> str:
    """The query's keyword. Raises SourceError when there is none."""
    keyword = clean(query.keyword)
    if not keyword:
        raise SourceError(f"{service} needs a keyword to search for.")
    return keyword


def only_keyword(query: Query, service: str) -> str:
    """The keyword of a query to a service without options. Raises SourceError for options and for no keyword."""
    options_of(query, service)
    return keyword_of(query, service)


def page_number(cursor: str | None, service: str, last: int) -> int:
    """The page that a cursor names, 1 without one. Raises SourceError when it is no page up to the `last`."""
    number = 1 if cursor is None else integer(cursor)
    if number is None or not 1 <= number <= last:
        raise SourceError(f"{cursor!r} is not a cursor of {service}: it is a page number up to {last}.")
    return number


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, as_list(value))) if isinstance(value, list) else str(value)
