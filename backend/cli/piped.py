"""`gleanset up --piped`: as the Python client starts it for itself.

It prints its address, an API key and where exports lie as one line of JSON, and ends when its standard input does, or
whoever started it is gone. It takes no part in who is up for the data folder: others may be up for it at the same time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import structlog
import typer
from sqlalchemy import update

from backend.cli.processes import Stop
from backend.cli.sockets import address_of, listen
from backend.cli.up import run_all
from backend.config import Settings
from backend.db import Database
from backend.models import ApiKey
from backend.models.enums import Scope
from backend.schemas.accounts import ApiKeyCreate
from backend.services import keys, profiles

log = structlog.get_logger(__name__)

_KEY_LASTS = timedelta(days=1)
"""From the last time that it was made to last; of one who is killed it is good for no longer."""
_LOOK_EVERY = 30.0


async def piped_up(settings: Settings, processes: int) -> None:
    """Run database, web and workers for the process at the other end of the pipes."""
    stop = Stop()
    watching = asyncio.create_task(_end_with_input(stop))

    @asynccontextmanager
    async def greeting(database: Database) -> AsyncGenerator[None]:
        async with _lent_key(database) as key:
            told = {"url": address_of(listening), "key": key, "exports": str(settings.exports.absolute())}
            typer.echo(json.dumps(told))
            yield

    try:
        with listen("127.0.0.1", 0) as listening:
            await run_all(settings, listening, processes, stop, greeting)
    finally:
        watching.cancel()


async def _end_with_input(stop: Stop) -> None:
    """Ask for the end when the input ends, or when the parent is gone while another holds the input open."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    parent = os.getppid()
    while parent == os.getppid():
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                if not await reader.read(1024):
                    break
    stop.asked.set()


@asynccontextmanager
async def _lent_key(database: Database) -> AsyncGenerator[str]:
    """An API key of the owner's, that is made to last anew while the block runs, and deleted at its end."""
    wanted = ApiKeyCreate(name="Python client", scopes=[Scope.READ, Scope.WRITE], expires_at=_in_a_day())
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        key, secret = await keys.create(session, owner.id, wanted)
    lasting = asyncio.create_task(_make_last(database, key.id))
    try:
        yield secret
    finally:
        lasting.cancel()
        async with database.transaction() as session:
            await keys.delete(session, owner.id, key.id)


async def _make_last(database: Database, key_id: int) -> None:
    until = _in_a_day()
    while True:
        await asyncio.sleep(_LOOK_EVERY)  # and not for longer: a machine may sleep, and its clock goes on
        if until < _in_a_day() - _KEY_LASTS / 24:
            until = _in_a_day()
            async with database.transaction() as session:
                await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(expires_at=until))


def _in_a_day() -> datetime:
    return datetime.now(UTC) + _KEY_LASTS
