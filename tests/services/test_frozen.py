"""A process that is stopped in the middle of a transaction does not hold up the others for ever."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.db import Database


async def test_the_server_ends_a_transaction_that_nobody_goes_on_with(database: Database) -> None:
    async with database.transaction() as session:
        assert await session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "10s"
        await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '200ms'"))
        await session.execute(text("CREATE TABLE half_done ()"))
        await session.execute(text("SELECT pg_sleep(0.4)"))  # a long statement is not silence

        time.sleep(0.6)  # the event loop stands still, as in a stopped process
        with pytest.raises(DBAPIError, match="idle-in-transaction"):
            await session.execute(text("SELECT 1"))
        await session.invalidate()
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT to_regclass('half_done')")) is None
