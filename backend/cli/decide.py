"""`gleanset decide`: keep or reject images, whatever the rules say of them."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import ValidationError
from sqlalchemy import select

from backend.cli.crawl import Json
from backend.config import get_settings
from backend.db import Database
from backend.errors import BadInput, NotFound
from backend.models import CrawlJob, Image, Project
from backend.models.enums import Choice
from backend.schemas.decisions import Decided, DecisionCreate
from backend.services import decisions, profiles


class What(StrEnum):
    KEEP = "keep"
    REJECT = "reject"
    UNDO = "undo"


_DONE = {What.KEEP: "kept", What.REJECT: "rejected", What.UNDO: "as the rules say again"}


def decide(
    what: Annotated[What, typer.Argument(help="keep, reject or undo.")],
    images: Annotated[list[int], typer.Argument(metavar="IMAGE...", help="Numbers of images.", min=1)],
    *,
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    json: Json = False,
) -> None:
    """Keep or reject images, whatever the rules say of them; or undo what was decided.

    It holds for the picture: for every image of the project with the same bytes, now and when it is found again.
    """
    try:
        wanted = DecisionCreate(choice=Choice.REJECT, image_ids=images, note=note)
    except ValidationError as error:
        raise BadInput(f"{error.errors()[0]['msg']}.") from error
    done = asyncio.run(_decide(what, wanted))
    if json:
        typer.echo(done.model_dump_json())
    else:
        typer.echo(f"{done.pictures} {'picture is' if done.pictures == 1 else 'pictures are'} {_DONE[what]}.")


async def _decide(what: What, wanted: DecisionCreate) -> Decided:
    async with (
        await asyncio.to_thread(Database.ready, get_settings()) as database,
        database.transaction() as session,
    ):
        owner = await profiles.local_owner(session)
        query = select(Image.id, CrawlJob.project_id).join(CrawlJob).where(Image.id.in_(wanted.image_ids))
        projects = {row.id: row.project_id for row in await session.execute(query)}
        if absent := sorted({*wanted.image_ids} - projects.keys()):
            raise NotFound(f"There is no image {absent[0]}.")
        done = Decided(pictures=0, images=0)
        for project_id in sorted({*projects.values()}):
            project = await session.get_one(Project, project_id)
            ids = [number for number, its in projects.items() if its == project_id]
            if what is What.UNDO:
                part = await decisions.undo(session, project, ids, user_id=owner.id)
            else:
                part = await decisions.decide(session, project, ids, Choice(what), why=wanted.note, user_id=owner.id)
            done = Decided(pictures=done.pictures + part.pictures, images=done.images + part.images)
        return done
