"""The queue's app is one for the process; its connections are for one user of it."""

from __future__ import annotations

from backend import queue
from backend.db import Database, libpq_url


async def test_who_opens_the_app_after_another_has_connections_that_are_open(database: Database) -> None:
    outside = queue.app.connector
    for _ in range(2):
        async with queue.opened(libpq_url(database.url)) as app:
            assert await app.check_connection_async()
            assert app.job_manager.connector is app.connector is not outside
    assert queue.app.connector is queue.app.job_manager.connector is outside
