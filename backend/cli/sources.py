"""`gleanset sources`: where pictures can come from."""

from __future__ import annotations

import json as jsonlib
from typing import Any

import typer
from rich.console import Console
from rich.table import Column, Table

from backend.cli.listing import JsonList
from backend.config import get_settings
from gleanset.sources import SOURCES, SourceInfo, SourceOptions


def sources(
    *,
    json: JsonList = False,
) -> None:
    """Where pictures can come from: what each source needs, what it allows, and under which terms.

    Keys are set as GLEANSET_SOURCE_KEYS, a JSON object by source.
    """
    options = get_settings().sources
    if json:
        typer.echo(jsonlib.dumps([_as_json(info, options) for info in SOURCES.values()]))
        return
    columns = [Column(name, overflow="fold") for name in ("source", "needs", "allows", "terms", "licences")]
    table = Table(*columns, padding=(0, 1, 1, 0), box=None, pad_edge=False)
    for info in SOURCES.values():
        table.add_row(info.name, _needs(info, options), info.allows, info.terms, _licences(info))
    Console(highlight=False).print(table)


def _as_json(info: SourceInfo, options: SourceOptions) -> dict[str, Any]:
    return {
        "name": info.name,
        "title": info.title,
        "needs": info.needs,
        "key": info.key,
        "key_is_set": info.has_key(options),
        "allows": info.allows,
        "terms": info.terms,
        "page": info.page,
        "filters": info.filters,
        "licence": info.licence,
    }


def _needs(info: SourceInfo, options: SourceOptions) -> str:
    if info.has_key(options):
        return f"{info.needs} (set)"
    return f"{info.needs} (not set)" if info.key else info.needs


def _licences(info: SourceInfo) -> str:
    """How `--license` works with the source."""
    if info.licence:
        return f"always {info.licence}"
    return "filtered there" if info.filters else "filtered here"
