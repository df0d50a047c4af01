"""What is swept away by itself when it is old enough: every hour by a worker, or by `gleanset db sweep`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg import AsyncConnection

from backend.config import Settings
from backend.db import Database, libpq_url
from backend.services.deleted_projects import PURGE_TASK
from backend.services.doctor.blobs import sweep_blobs
from backend.services.doctor.findings import Connection
from backend.services.retention.exports import expired_exports, stray_files
from backend.services.retention.indexes import stray_indexes
from backend.services.retention.projects import GIVEN_UP, Purging
from backend.services.retention.rows import old_rows
from gleanset.store import Store

__all__ = ["PURGE_TASK", "STORE_TASK", "TASK", "Swept", "purge", "sweep", "sweep_store"]

TASK = "retention.sweep"
STORE_TASK = "retention.sweep_store"


@dataclass(frozen=True, slots=True)
class Swept:
    """How many of what were removed, or would be; `note` tells why some were not."""

    what: str
    count: int
    note: str = ""


async def sweep(settings: Settings, database: Database, *, dry_run: bool = False) -> list[Swept]:
    """Expired exports, files among the exports of none, indexes of nothing, rows nobody needs, deleted projects."""
    before = datetime.now(UTC) - timedelta(hours=settings.orphan_hours)
    expired = await expired_exports(database, settings.exports, dry_run=dry_run)
    stray = await stray_files(database, settings.exports, before, dry_run=dry_run)
    indexes = await stray_indexes(database, settings.indexes, dry_run=dry_run)
    rows = await old_rows(
        database, key_hours=settings.request_key_hours, queue_days=settings.queue_days, dry_run=dry_run
    )
    purging = Purging(database, Store(settings.store_place), settings.exports)
    projects = await purging.overdue(settings.deleted_days, dry_run=dry_run)  # the last, as it may take long
    return [
        Swept("deleted projects", projects, purging.trouble),
        Swept("files of expired exports", expired),
        Swept("other files among the exports", stray),
        Swept("indexes of deleted projects", indexes),
        *(Swept(what, count) for what, count in rows.items()),
    ]


async def purge(settings: Settings, database: Database, project_id: int) -> str:
    """Remove a deleted project that was given up, at once; why files of it stay for a while, if any do."""
    purging = Purging(database, Store(settings.store_place), settings.exports)
    await purging.one(project_id, GIVEN_UP)
    return purging.trouble


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
