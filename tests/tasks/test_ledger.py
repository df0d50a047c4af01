"""Transactions beside the event loop: not slowed by it, and committed or rolled back like any other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.db import Database
from backend.tasks.ledger import Ledger
from tests.tasks.helpers import rows


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with Ledger(database_url) as ledger:
        yield ledger


async def write(session: AsyncSession, name: str = "a.test:80") -> int:
    await session.execute(text("INSERT INTO hosts (authority) VALUES (:name)"), {"name": name})
    return 7


async def test_what_it_returns_is_committed(ledger: Ledger, database: Database) -> None:
    assert await ledger.run(write) == 7
    assert await rows(database, "SELECT authority FROM hosts") == [("a.test:80",)]


async def test_an_error_rolls_back_and_is_raised(ledger: Ledger, database: Database) -> None:
    async def fail(session: AsyncSession) -> None:
        await write(session)
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        await ledger.run(fail)
    assert await rows(database, "SELECT authority FROM hosts") == []


async def test_one_that_is_cancelled_lets_go_of_its_locks(ledger: Ledger, database: Database) -> None:
    written = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    async def hang(session: AsyncSession) -> None:
        await write(session)
        loop.call_soon_threadsafe(written.set_result, None)
        await asyncio.sleep(3600)

    task = asyncio.create_task(ledger.run(hang))
    await written
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.wait_for(ledger.run(write), 5) == 7  # the same row, which waits for the other's end
    assert await rows(database, "SELECT count(*) FROM hosts") == [(1,)]


async def test_a_busy_loop_does_not_hold_it_up(ledger: Ledger) -> None:
    turn, statements = 0.1, 30
    await ledger.run(lambda session: session.execute(text("SELECT 1")))  # connected

    async def ask(session: AsyncSession) -> float:
        began = time.monotonic()
        for _ in range(statements):
            await session.execute(text("SELECT 1"))
        return time.monotonic() - began

    async def hog() -> None:
        while True:
            time.sleep(turn)
            await asyncio.sleep(0)

    hogging = asyncio.create_task(hog())
    try:
        assert await ledger.run(ask) < turn * statements / 3
    finally:
        hogging.cancel()
