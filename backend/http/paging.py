"""Lists in pages by key: page a thousand costs what page one does, and rows that come meanwhile shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from backend.errors import BadInput

Item = TypeVar("Item")

_NOT_OURS = "This cursor is not one of ours. Begin again without it."

Cursor = Annotated[
    str | None, Query(max_length=500, description="`next` of the page before; the first page without it.")
]
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""The number of a thing in a route's path; no table counts further."""
SessionId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="`id` of a session.")]
Limit = Annotated[int, Query(ge=1, le=500, description="Most items on the page.")]


class Page(BaseModel, Generic[Item]):
    """Items in order, and the cursor of the next page; `null` behind the last."""

    items: list[Item]
    next: str | None = Field(default=None, description="Send it as `cursor` to get the page behind this one.")


def encode_cursor(key: int | str) -> str:
    """An opaque word for a place in a list."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, most: int = 2**63 - 1) -> int:
    """The place. Raises BadInput for what `encode_cursor` has not made, and for what is beyond `most`."""
    key = _decoded(cursor)
    if not isinstance(key, int) or isinstance(key, bool) or not 0 <= key <= most:
        raise BadInput(_NOT_OURS, field="query.cursor")
    return key


def _decoded(cursor: str) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise BadInput(_NOT_OURS, field="query.cursor") from None


async def paged(
    session: AsyncSession,
    query: Select[Any],
    column: InstrumentedAttribute[int],
    cursor: str | None,
    limit: int,
    *,
    newest_first: bool = True,
) -> Page[Any]:
    """A page of the query's objects, ordered by an integer column that is unique, such as the id."""
    if cursor is not None:
        place = decode_cursor(cursor, 2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1)
        query = query.where(column < place if newest_first else column > place)
    query = query.order_by(column.desc() if newest_first else column).limit(limit + 1)
    rows = list((await session.scalars(query)).all())
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(items=rows, next=encode_cursor(getattr(rows[-1], column.key)) if more else None)


async def paged_by_text(
    session: AsyncSession, query: Select[Any], key: ColumnElement[str], cursor: str | None, limit: int
) -> Page[Any]:
    """A page of the query's objects, ordered by a text that is unique."""
    if cursor is not None:
        place = _decoded(cursor)
        if not isinstance(place, str) or not place.isprintable():
            raise BadInput(_NOT_OURS, field="query.cursor")
        query = query.where(key > place)
    rows = list(await session.execute(query.add_columns(key).order_by(key).limit(limit + 1)))
    shown = rows[:limit]
    return Page(items=[row[0] for row in shown], next=encode_cursor(shown[-1][1]) if len(rows) > limit else None)
