"""Missing, wrong, broken and unused indexes, and the queries that take long."""

from __future__ import annotations

from collections import defaultdict

from psycopg.errors import ObjectNotInPrerequisiteState
from sqlalchemy.schema import CreateIndex

from backend.services.doctor.findings import (
    DIALECT,
    Connection,
    Finding,
    Section,
    Severity,
    names,
    our_tables,
    psql,
    query,
)
from backend.services.doctor.schema import plain

VOLUME = 10_000
"""Rows from which an index earns its keep; below, PostgreSQL rightly reads the table instead."""

SLOW_MS = 200
SLOW_CALLS = 10


async def indexes(connection: Connection) -> Section:
    """Every index of the models is there, as defined, and usable."""
    sql = """
        SELECT relname, pg_get_indexdef(indexrelid), indisvalid AND indisready
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = ANY(%s::regclass[]) ORDER BY relname
    """
    there: dict[str, tuple[str, bool]] = {
        name: (definition, usable) for name, definition, usable in await query(connection, sql, names())
    }
    wanted = _wanted()
    found: list[Finding] = []
    for name, create in sorted(wanted.items()):
        if name not in there:
            what = f"The index {name} is missing."
            found.append(Finding(code="missing_index", what=what, count=1, command=psql(create)))
        elif plain(there[name][0]) != plain(create):
            what = f"The index {name} is not as it should be: {there[name][0]}."
            command = psql(f"DROP INDEX {name}", create)
            found.append(Finding(code="wrong_index", what=what, count=1, command=command))
    kept = wanted.keys() | {constraint.name for table in our_tables() for constraint in table.constraints}
    for name, (_, usable) in there.items():
        if not usable:
            what = f"The index {name} is invalid: building it did not finish, and no query uses it."
            command = psql(f"REINDEX INDEX {name}" if name in kept else f"DROP INDEX {name}")
            found.append(Finding(code="invalid_index", what=what, count=1, command=command))
    return Section(title="Indexes", findings=tuple(found), note=f"all {len(wanted)} are there and valid")


def _wanted() -> dict[str, str]:
    """Name and statement of each index that the models define."""
    return {
        str(index.name): str(CreateIndex(index).compile(dialect=DIALECT))
        for table in our_tables()
        for index in table.indexes
    }


async def unused_indexes(connection: Connection) -> Section:
    """Indexes of large tables that no query has used since statistics began; unique ones keep a rule by being there."""
    sql = """
        SELECT indexrelname, stat.relname, pg_size_pretty(pg_relation_size(indexrelid))
        FROM pg_stat_user_indexes AS stat JOIN pg_index USING (indexrelid)
        JOIN pg_class ON pg_class.oid = relid
        WHERE relid = ANY(%s::regclass[]) AND idx_scan = 0 AND NOT indisunique AND NOT indisprimary AND indisvalid
            AND greatest(reltuples, pg_stat_get_live_tuples(relid)) >= %s
        ORDER BY pg_relation_size(indexrelid) DESC
    """
    ours: dict[str, list[str]] = defaultdict(list)
    found: list[Finding] = []
    wanted = _wanted()
    for name, table, size in await query(connection, sql, names(), VOLUME):
        if name in wanted:
            ours[table].append(name)
            continue
        what = (
            f"No query has used the index {name} of {table} ({size}) since statistics began, nor does Gleanset want it."
        )
        found.append(_unused(what, 1, psql(f"DROP INDEX {name}")))
    for table, unused in ours.items():
        what = f"No query has used {', '.join(unused)} of {table} since statistics began. Gleanset wants them; "
        what += "fresh statistics help PostgreSQL to see when they serve."
        found.append(_unused(what, len(unused), psql(f"ANALYZE {table}")))
    return Section(title="Unused indexes", findings=tuple(found), note="none on tables of some size")


def _unused(what: str, count: int, command: str) -> Finding:
    return Finding(code="unused_index", what=what, count=count, command=command, severity=Severity.ADVICE)


async def slow_queries(connection: Connection) -> Section:
    """The statements that take longest on average, when the server counts them."""
    title = "Slow queries"
    if not await query(connection, "SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'"):
        return Section(title=title, note="not counted: the server has no extension pg_stat_statements")
    sql = """
        SELECT regexp_replace(query, '\\s+', ' ', 'g'), calls, mean_exec_time FROM pg_stat_statements
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND mean_exec_time >= %s AND calls >= %s
            AND query ~* '^\\s*(select|insert|update|delete|with|merge)'
        ORDER BY total_exec_time DESC LIMIT 10
    """
    try:
        slow = await query(connection, sql, SLOW_MS, SLOW_CALLS)
    except ObjectNotInPrerequisiteState:
        return Section(title=title, note="not counted: pg_stat_statements is not in shared_preload_libraries")
    command = psql("ANALYZE", "SELECT pg_stat_statements_reset()")
    found = tuple(
        Finding(
            code="slow_query",
            what=f"{mean:,.0f} ms on average, {calls:,} times: {text[:200]}",
            count=calls,
            command=command,
            severity=Severity.ADVICE,
        )
        for text, calls, mean in slow
    )
    return Section(title=title, findings=found, note=f"none takes {SLOW_MS} ms on average")
