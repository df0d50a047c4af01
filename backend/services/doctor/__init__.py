"""`gleanset db doctor`: looks for what is wrong with the database, the queue and the image store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import DiskFull, InsufficientPrivilege, QueryCanceled, ReadOnlySqlTransaction
from sqlalchemy import make_url

from backend.config import Settings
from backend.db import libpq_url
from backend.errors import DatabaseUnavailable
from backend.services.doctor.blobs import Mending, image_store
from backend.services.doctor.findings import Connection, Finding, Section, Severity
from backend.services.doctor.indexes import indexes, slow_queries, unused_indexes
from backend.services.doctor.schema import constraints, migration, orphans, tables
from backend.services.doctor.work import work
from gleanset.errors import StoreError

__all__ = ["Finding", "Mending", "Section", "Severity", "examine"]

Check = Callable[[Connection], Awaitable[Section]]
_FOUNDATIONS = 2
_NOT_ALLOWED = (InsufficientPrivilege, ReadOnlySqlTransaction, QueryCanceled, DiskFull)


async def examine(
    settings: Settings, url: str, mending: Mending | None = None, progress: Callable[[int], None] = lambda _: None
) -> list[Section]:
    """Every check, in the order in which its findings are best mended. Raises DatabaseUnavailable.

    `progress` is told how many blobs are listed so far.
    """
    checks: list[tuple[str, Check]] = [
        ("Migration", migration),
        ("Tables", tables),
        ("Orphaned rows", orphans),
        ("Constraints", constraints),
        ("Indexes", indexes),
        ("Unused indexes", unused_indexes),
        ("Slow queries", slow_queries),
        ("Work queue", lambda connection: work(connection, dead_after=max(30.0, 5 * settings.heartbeat))),
        (
            "Image store",
            lambda connection: image_store(connection, settings.store_place, mending or Mending(), progress),
        ),
    ]
    sections: list[Section] = []
    async with await _connect(url) as connection:
        for title, check in checks:
            # Without the right tables, whatever else were found would be a consequence.
            baseless = any(section.findings for section in sections[:_FOUNDATIONS])
            sections.append(
                Section(title=title, skipped="needs the above to be mended first")
                if baseless
                else await _run(connection, title, check)
            )
    return sections


async def _connect(url: str) -> Connection:
    try:
        return await AsyncConnection.connect(libpq_url(url), autocommit=True, connect_timeout=5)
    except psycopg.Error as error:
        place = make_url(url).render_as_string(hide_password=True)
        raise DatabaseUnavailable(
            f"The database {place} does not answer: {_sentence(error)}. Is the server running and the address right?"
        ) from error


async def _run(connection: Connection, title: str, check: Check) -> Section:
    """The check; skipped, with why, when the server does not let it be made."""
    try:
        return await check(connection)
    except StoreError as error:
        what = f"{error} Is GLEANSET_STORE_URL right, and does the store answer?"
        return Section(title=title, findings=(Finding(code="store", what=what, count=1, command=None),))
    except _NOT_ALLOWED as error:
        return Section(title=title, skipped=_sentence(error))


def _sentence(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0]
