"""What sources that search by keyword ask of a query and a cursor."""

from __future__ import annotations

from gleanset.errors import SourceError
from gleanset.sources.text import clean, integer
from gleanset.types import Query


def only_keyword(query: Query, service: str) -> str:
    """The keyword of a query to a service without options. Raises SourceError for options and for no keyword."""
    if query.options:
        raise SourceError(f"{service} has no option {', '.join(sorted(query.options))}.")
    keyword = clean(query.keyword)
    if not keyword:
        raise SourceError(f"{service} needs a keyword to search for.")
    return keyword


def first_page(cursor: str | None, service: str, last: int) -> int:
    """The page that a cursor names, where cursors are page numbers; 1 without one. Raises SourceError."""
    number = 1 if cursor is None else integer(cursor)
    if number is None or not 1 <= number <= last:
        raise SourceError(f"{cursor!r} is not a cursor of {service}: it is a page number up to {last}.")
    return number
