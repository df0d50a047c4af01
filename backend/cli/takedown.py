"""`gleanset takedown`: remove an image that nobody may have any more."""

from __future__ import annotations

import asyncio
import json as jsonlib
import re
from typing import Annotated

import typer

from backend.cli.crawl import Json
from backend.config import get_settings
from backend.db import Database
from backend.errors import BadInput
from backend.services import profiles, takedowns
from backend.services.takedowns import TakenDown
from gleanset.store import Store

LONGEST_URL = 8000


def takedown(
    image: Annotated[str, typer.Argument(metavar="URL|SHA256", help="The image's address, or its SHA-256 in hex.")],
    *,
    note: Annotated[str | None, typer.Option(help="Why: who asked for it, and when.")] = None,
    json: Json = False,
) -> None:
    """Remove an image everywhere, and refuse it when it is met again.

    Its files go, in all projects; what is known of it stays as a refusal. Exports that hold it are marked and can no
    longer be downloaded: export again. Doing it twice does no harm.
    """
    url, digest = _target(image)
    done = asyncio.run(_take_down(url, digest, note))
    if json:
        typer.echo(jsonlib.dumps({"id": done.takedown.id, "images": done.images, "exports": done.exports}))
    else:
        typer.echo(f"Taken down: {done.images} images gone, {done.exports} exports marked. It is refused from now on.")


def _target(image: str) -> tuple[str | None, bytes | None]:
    """The URL or the hash. Raises BadInput."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", image):
        return None, bytes.fromhex(image)
    if not re.match(r"https?://[!-~]+$", image) or len(image) > LONGEST_URL:
        raise BadInput(f"Give the image's address (https://...) or its SHA-256 (64 hex digits), not {image[:100]!r}.")
    return image, None


async def _take_down(url: str | None, sha256: bytes | None, why: str | None) -> TakenDown:
    settings = get_settings()
    async with await asyncio.to_thread(Database.ready, settings) as database:
        async with database.transaction() as session:
            owner = await profiles.local_owner(session)
        store = Store(settings.store_place)
        return await takedowns.remove(database, store, url=url, sha256=sha256, why=why, user_id=owner.id)
