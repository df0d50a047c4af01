"""Transactions beside the event loop of a busy worker.

Who records a batch holds the lock of the job's row for a dozen statements, and all other recorders of the job wait. On
the loop that also serves some hundred downloads, each statement's answer waits for its turn among theirs, and the lock
is held for that long too: a second instead of a fiftieth. So these transactions have a thread and a loop of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from backend.db import Database

Result = TypeVar("Result")


class Ledger:
    """Use as an async context manager."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="gleanset-ledger", daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._close(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def run(self, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """What `work` returns, in a transaction that is committed at its end, or rolled back by an exception."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._transaction(work), self._loop))

    async def _transaction(self, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        async with self._database.transaction() as session:
            return await work(session)

    async def _close(self) -> None:
        """Those who were cancelled may still be rolling back."""
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
        await self._database.engine.dispose()
