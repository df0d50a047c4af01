"""How commands print lists: a table for people, JSON for programs, a sentence for nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

_WIDE = 10_000
Found = TypeVar("Found")
JsonList = Annotated[bool, typer.Option("--json", help="Print them as a JSON list, and nothing else.")]


def as_api(one: BaseModel) -> dict[str, Any]:
    """As the API tells it."""
    return one.model_dump(mode="json")


def print_list(
    found: Sequence[Found],
    table: Callable[[Sequence[Found]], Table],
    nothing: str,
    told: Callable[[Found], dict[str, Any]] | None = None,
) -> None:
    """Print what was found: each `told` in a JSON list, or else the table, or `nothing` when there is nothing."""
    if told is not None:
        typer.echo(json.dumps([told(each) for each in found]))
    elif found:
        # For a program that reads the lines, each row is one, however long.
        Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE).print(table(found))
    else:
        typer.echo(nothing)


def when(moment: datetime | None) -> str:
    """By the clock of this machine; nothing for never."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}" if moment else ""
