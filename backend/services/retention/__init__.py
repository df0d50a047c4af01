"""What is swept away by itself when it is old enough: every hour by a worker, or by `gleanset db sweep`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg import AsyncConnection

from backend.config import Settings
from backend.db import Database, libpq_url
from backend.services.doctor.blobs import sweep_blobs
from backend.services.doctor.findings import Connection
from backend.services.retention.exports import expired_exports, stray_files
from backend.services.retention.indexes import stray_indexes
from backend.services.retention.rows import old_rows
from gleanset.store import Store

__all__ = ["STORE_TASK", "TASK", "Swept", "sweep", "sweep_store"]

TASK = "retention.sweep"
STORE_TASK = "retention.sweep_store"


@dataclass(frozen=True, slots=True)
class Swept:
    """How many of what were removed, or would be; `note` tells why some were not."""

    what: str
    count: int
    note: str = ""


async def sweep(settings: Settings, database: Database, *, dry_run: bool = False) -> list[Swept]:
    """Expired exports, files among the exports that belong to none, indexes of nothing, rows that nobody needs."""
    before = datetime.now(UTC) - timedelta(hours=settings.orphan_hours)
    expired = await expired_exports(database, settings.exports, dry_run=dry_run)
    stray = await stray_files(database, settings.exports, before, dry_run=dry_run)
    indexes = await stray_indexes(database, settings.indexes, dry_run=dry_run)
    rows = await old_rows(
        database, key_hours=settings.request_key_hours, queue_days=settings.queue_days, dry_run=dry_run
    )
    return [
        Swept("files of expired exports", expired),
        Swept("other files among the exports", stray),
        Swept("indexes of deleted projects", indexes),
        *(Swept(what, count) for what, count in rows.items()),
    ]


async def sweep_store(settings: Settings, database: Database, *, dry_run: bool = False) -> list[Swept]:
    """Blobs that belong to no image or job, and thumbnails of blobs that are gone. Raises StoreError."""
    before = datetime.now(UTC) - timedelta(hours=settings.orphan_hours)
    async with _connection(database) as connection:
        found = await sweep_blobs(connection, Store(settings.store_place), before, dry_run=dry_run)
    note = (
        f"left alone: {found.orphans:,} of {found.listed:,} are most of the store. Is this the database that it belongs"
        " to? Then: gleanset db doctor --delete-orphans"
    )
    return [
        Swept("blobs without an image", found.swept, note if found.left_alone else ""),
        Swept("thumbnails without a blob", found.thumbnails),
    ]


@asynccontextmanager
async def _connection(database: Database) -> AsyncGenerator[Connection]:
    async with await AsyncConnection.connect(libpq_url(database.url), autocommit=True) as connection:
        yield connection
