"""`gleanset crawl --preview`: the first results of a crawl, which is not started."""

from __future__ import annotations

import asyncio

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from backend.cli.display import note
from backend.config import Settings
from backend.db import Database
from backend.errors import BadInput
from backend.schemas.plans import CrawlPlan
from backend.schemas.previews import MOST_ITEMS, PreviewItem, PreviewResponse
from backend.tasks.lists import copy_lists

ITEMS = 12


async def preview(settings: Settings, words: list[str], plan: CrawlPlan, limit: int | None, *, json: bool) -> None:
    """Print what the sources offer first, and why some offer nothing; exits with 1 when none offers anything.

    Raises BadInput, UnknownSource or SourceError for what could not be planned at all.
    """
    if not (words or plan.lists or plan.websites or plan.folders):
        raise BadInput("There is nothing to look at: give keywords, a list of URLs or a website.")
    plan = await copy_lists(settings, plan, tell=lambda text: None if json else note(text))
    found = await _look(settings, words, plan, min(limit or ITEMS, MOST_ITEMS))
    for folder in plan.folders:
        found.problems[folder.path] = "A folder is read when the crawl is started, and not for a first look."
    if json:
        typer.echo(found.model_dump_json())
    else:
        _print(Console(highlight=False), found)
    if found.problems and not found.items:
        raise typer.Exit(1)


async def _look(settings: Settings, words: list[str], plan: CrawlPlan, limit: int) -> PreviewResponse:
    from backend.tasks.preview import open_preview  # OpenCV and more: half a second that most commands do without

    async with (
        await asyncio.to_thread(Database.ready, settings) as database,
        open_preview(settings, database, allow_private=plan.allow_private, own_hosts=plan.own_hosts) as look,
    ):
        return await look(words, plan, limit)


def _print(console: Console, found: PreviewResponse) -> None:
    if found.items:
        console.print(_table(found.items))
        note("Nothing was fetched or kept. The same without --preview starts the crawl.")
    elif not found.problems:
        typer.echo("Nothing was found.")
    for source, sentence in found.problems.items():
        console.print(Text(f"{source}: {sentence}"), soft_wrap=True)


def _table(items: list[PreviewItem]) -> Table:
    table = Table("title", "label", "source", "licence", Column("url", overflow="fold"), box=None, pad_edge=False)
    for each in items:
        texts = (each.title or "", each.label, each.source, each.licence or "", each.url)
        table.add_row(*map(Text, texts))
    return table
