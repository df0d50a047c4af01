"""`gleanset takedown`: remove an image that nobody may have any more."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.cli.asking import in_transaction
from backend.cli.listing import as_api, print_list, when
from backend.config import get_settings
from backend.db import Database
from backend.errors import BadInput
from backend.models import Takedown
from backend.schemas.takedowns import TakedownCreate, TakedownResponse, asked_of
from backend.services import deliveries, profiles, takedowns
from backend.services.takedowns import TakenDown
from gleanset.store import Store


def takedown(
    image: Annotated[
        str | None, typer.Argument(metavar="URL|SHA256", help="The image's address, or its SHA-256 in hex.")
    ] = None,
    *,
    note: Annotated[str | None, typer.Option(help="Why: who asked for it, and when.")] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Refuse it no longer. What was erased stays erased.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Only tell what was taken down, and is refused since; the newest first.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="With --list: how many.")] = 100,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with --list a JSON list, and nothing else.")
    ] = False,
) -> None:
    """Remove an image everywhere, and refuse it when it is met again.

    Its files go, in all projects; what is known of it stays as a refusal. Exports that hold it are marked and can no
    longer be downloaded: export again. Doing it twice does no harm.
    """
    if listed:
        if image is not None or note is not None or withdraw:
            raise BadInput("--list only tells what was taken down; give it alone.")
        _list(limit, json=json)
        return
    if image is None:
        raise BadInput("Give the image's address or its SHA-256; gleanset takedown --list tells what was taken down.")
    wanted = _wanted(image, note)
    if withdraw:
        number = asyncio.run(_withdraw(wanted))
        typer.echo(jsonlib.dumps({"id": number}) if json else "Withdrawn: it may be gathered again.")
        return
    done = asyncio.run(_take_down(wanted))
    if json:
        marked = {"marked": [job.id for job in done.marked], "copies": _copies(done)}
        typer.echo(jsonlib.dumps({"id": done.takedown.id, "images": done.images, "exports": done.exports} | marked))
    else:
        for line in _told(done):
            typer.echo(line)


def _told(done: TakenDown) -> Iterator[str]:
    gone = f"{done.images} {'image' if done.images == 1 else 'images'} gone"
    marked = f"{done.exports} {'export' if done.exports == 1 else 'exports'} marked"
    yield f"Taken down: {gone}, {marked}. It is refused from now on."
    if done.marked:
        yield f"Not given out any more: export {', '.join(str(job.id) for job in done.marked)}. Export again."
    if copies := _copies(done):
        yield "Gleanset has put copies to these places, which are yours to remove:"
        yield from copies


def _copies(done: TakenDown) -> list[str]:
    """Where exports that hold it were delivered to, each place once."""
    return list(dict.fromkeys(place for job in done.marked if (place := deliveries.delivered(job))))


def _list(limit: int, *, json: bool) -> None:
    async def read(session: AsyncSession) -> list[TakedownResponse]:
        found = await session.scalars(select(Takedown).order_by(Takedown.id.desc()).limit(limit))
        return [TakedownResponse.model_validate(each) for each in found]

    print_list(in_transaction(read), _table, "Nothing was taken down.", as_api if json else None)


def _table(found: Sequence[TakedownResponse]) -> Table:
    table = Table("takedown", "when", "address or SHA-256", "note", box=None, pad_edge=False)
    for each in found:
        what = Text(each.url or each.sha256 or "", overflow="fold")
        table.add_row(str(each.id), when(each.created_at), what, Text(each.note or ""))
    return table


def _wanted(image: str, why: str | None) -> TakedownCreate:
    """The URL or the hash. Raises BadInput."""
    try:
        return TakedownCreate.model_validate(asked_of(image, why))
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("note",):
            raise BadInput(f"The note: {error.errors()[0]['msg']}.") from error
        what = f"Give the image's address (https://...) or its SHA-256 (64 hex digits), not {image[:100]!r}."
        raise BadInput(what) from error


async def _take_down(wanted: TakedownCreate) -> TakenDown:
    settings = get_settings()
    async with await asyncio.to_thread(Database.ready, settings) as database:
        async with database.transaction() as session:
            owner = await profiles.local_owner(session)
        store = Store(settings.store_place)
        return await takedowns.remove(
            database, store, url=wanted.url, sha256=wanted.digest, why=wanted.note, user_id=owner.id
        )


async def _withdraw(wanted: TakedownCreate) -> int:
    async with (
        await asyncio.to_thread(Database.ready, get_settings()) as database,
        database.transaction() as session,
    ):
        owner = await profiles.local_owner(session)
        made = await takedowns.found(session, url=wanted.url, sha256=wanted.digest)
        await takedowns.withdraw(session, made.id, user_id=owner.id)
        return made.id
