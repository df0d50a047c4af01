"""`gleanset takedown`: remove an image that nobody may have any more."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Iterator
from typing import Annotated

import typer
from pydantic import ValidationError

from backend.cli.crawl import Json
from backend.config import get_settings
from backend.db import Database
from backend.errors import BadInput
from backend.schemas.takedowns import TakedownCreate, asked_of
from backend.services import deliveries, profiles, takedowns
from backend.services.takedowns import TakenDown
from gleanset.store import Store


def takedown(
    image: Annotated[str, typer.Argument(metavar="URL|SHA256", help="The image's address, or its SHA-256 in hex.")],
    *,
    note: Annotated[str | None, typer.Option(help="Why: who asked for it, and when.")] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Refuse it no longer. What was erased stays erased.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove an image everywhere, and refuse it when it is met again.

    Its files go, in all projects; what is known of it stays as a refusal. Exports that hold it are marked and can no
    longer be downloaded: export again. Doing it twice does no harm.
    """
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
