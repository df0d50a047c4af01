"""What the columns of a table of pictures mean: where each comes from, and whatever else is known of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from gleanset.sources.licence import compose_attribution, parse_licence
from gleanset.sources.text import clean, jsonable, without_nothing
from gleanset.types import Candidate

UNLABELLED = "unlabelled"
_ROLES = {
    "page_url": ("page_url", "source_page", "source_page_url", "foreign_landing_url", "landing_url", "landing_page"),
    "title": ("title",),
    "creator": ("creator", "author", "artist", "photographer"),
    "creator_url": ("creator_url", "author_url", "artist_url", "photographer_url"),
    "licence": ("licence", "license", "licence_code", "license_code"),
    "licence_version": ("licence_version", "license_version"),
    "licence_url": ("licence_url", "license_url"),
    "attribution": ("attribution", "credit_line"),
    "keyword": ("keyword",),
}
_ROLE_OF = {column: role for role, columns in _ROLES.items() for column in columns}


def described(
    values: Mapping[str, Any],
    *,
    url: str,
    label: str,
    source: str,
    without: Collection[str | None] = (),
    keyword: str | None = None,
) -> Candidate:
    """The candidate of a row. Columns without a known name are its metadata, except those in `without`."""
    stated: dict[str, str] = {}
    rest: dict[str, Any] = {}
    for column, value in values.items():
        if column in without:
            continue
        role, text = _ROLE_OF.get(normal(column)), clean(value)
        if role and text and role not in stated:
            stated[role] = text
        else:
            rest[column] = jsonable(value)
    licence = parse_licence(stated.get("licence"), stated.get("licence_version"), stated.get("licence_url"))
    if licence is None:  # what is said of it stays to be read, though it tells of none
        rest |= {
            column: jsonable(value)
            for column, value in values.items()
            if column not in without and clean(value) and _ROLE_OF.get(normal(column), "").startswith("licence")
        }
    title, creator, page_url = stated.get("title"), stated.get("creator"), stated.get("page_url")
    return Candidate(
        url=url,
        label=label,
        source=source,
        keyword=stated.get("keyword", keyword),
        page_url=page_url,
        title=title,
        creator=creator,
        creator_url=stated.get("creator_url"),
        licence=licence,
        attribution=stated.get("attribution") or compose_attribution(title, creator, licence, page_url),
        metadata=without_nothing(rest),
    )


@lru_cache(maxsize=4096)
def normal(column: str) -> str:
    """A column's name as it is compared with others."""
    return column.strip().lower().replace("-", "_").replace(" ", "_")
