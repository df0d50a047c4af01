"""Rows that have done their work."""

from __future__ import annotations

from sqlalchemy import text

from backend.db import Database

_AT_ONCE = 10_000

# What, the table, and when a row of it is not needed any more.
_ROWS = (
    ("expired sessions", "sessions", "expires_at < now()"),
    ("expired log-in links", "login_links", "expires_at < now()"),
    ("notes of erased files", "erased_blobs", "erased_at < now() - interval '1 day'"),
    ("failed log-ins", "login_failures", "at < now() - interval '1 day'"),
    ("keys of requests", "idempotency_keys", "created_at < now() - make_interval(hours => :key_hours)"),
    (
        "ended tasks",
        "procrastinate_jobs",
        "status IN ('succeeded', 'failed', 'cancelled', 'aborted') AND NOT EXISTS (SELECT FROM procrastinate_events"
        " WHERE job_id = procrastinate_jobs.id AND at > now() - make_interval(days => :queue_days))",
    ),
)


async def old_rows(database: Database, *, key_hours: int, queue_days: int, dry_run: bool) -> dict[str, int]:
    """Delete them, some thousand in one transaction; how many, by what they are."""
    ages = {"key_hours": key_hours, "queue_days": queue_days}
    return {what: await _delete(database, table, when, ages, dry_run) for what, table, when in _ROWS}


async def _delete(database: Database, table: str, when: str, ages: dict[str, int], dry_run: bool) -> int:
    needed = {name: age for name, age in ages.items() if f":{name}" in when}
    counting = text(f"SELECT count(*) FROM {table} WHERE {when}")  # noqa: S608 - constants of ours
    deleting = text(
        f"WITH gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - constants of ours
        f"SELECT ctid FROM {table} WHERE {when} LIMIT {_AT_ONCE} FOR UPDATE SKIP LOCKED)) RETURNING 1)"
        " SELECT count(*) FROM gone"
    )
    total = 0
    while True:
        async with database.transaction() as session:
            count = (await session.scalars(counting if dry_run else deleting, needed)).one()
        total += count
        if dry_run or count < _AT_ONCE:
            return total
