"""Migration state, tables and columns, orphaned rows, constraints: the models' metadata against the catalogue."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from psycopg.errors import UndefinedTable
from sqlalchemy import Constraint, ForeignKeyConstraint, Table
from sqlalchemy.schema import AddConstraint, CreateColumn

from backend.db import alembic_config
from backend.services.doctor.findings import (
    DIALECT,
    EXAMPLES,
    Connection,
    Finding,
    Section,
    names,
    our_tables,
    psql,
    query,
)

UPGRADE = "gleanset db upgrade"


async def migration(connection: Connection) -> Section:
    """The migration that the database is at, against the newest of this installation."""
    from alembic.script import ScriptDirectory  # slow to import, and only needed here

    scripts = ScriptDirectory.from_config(alembic_config())
    wanted = scripts.get_current_head()
    try:
        noted = await query(connection, "SELECT version_num FROM alembic_version")
    except UndefinedTable:
        noted = []
    found = str(noted[0][0]) if noted else None
    if found == wanted:
        return Section(title="Migration", note=f"{found} (head)")
    command = UPGRADE
    if found is None:
        present = await query(connection, "SELECT FROM unnest(%s::text[]) t WHERE to_regclass(t) IS NOT NULL", names())
        what = (
            "The tables are there, but no migration is noted."
            if present
            else "The database has no Gleanset tables yet."
        )
    elif any(found == script.revision for script in scripts.walk_revisions()):
        what = f"The database is at migration {found}; this version wants {wanted}."
    else:
        what = (
            f"The database is at migration {found}, which this version does not know: it belongs to a newer Gleanset."
        )
        command = "pip install --upgrade gleanset"
    return Section(title="Migration", findings=(Finding(code="migration", what=what, count=1, command=command),))


async def tables(connection: Connection) -> Section:
    """Every table and column of the models is there."""
    sql = """
        SELECT t, coalesce(array_agg(attname::text) FILTER (WHERE attnum > 0 AND NOT attisdropped), '{}')
        FROM unnest(%s::text[]) t LEFT JOIN pg_attribute ON attrelid = to_regclass(t) GROUP BY t
    """
    present: dict[str, set[str]] = {name: set(columns) for name, columns in await query(connection, sql, names())}
    gone = [name for name in names() if not present[name]]
    found: list[Finding] = []
    if gone:
        # Every migration passes over what is there, so all of them can run again.
        again = " && ".join((psql("DELETE FROM alembic_version"), UPGRADE))
        what = "Missing tables: " + ", ".join(gone) + "."
        found.append(Finding(code="missing_table", what=what, count=len(gone), command=again))
    for table in our_tables():
        lost = [c for c in table.columns if c.name not in present[table.name]] if table.name not in gone else []
        if lost:
            adding = ", ".join(f"ADD COLUMN {str(CreateColumn(c).compile(dialect=DIALECT)).strip()}" for c in lost)
            found.append(
                Finding(
                    code="missing_column",
                    what=f"The table {table.name} lacks columns: {', '.join(c.name for c in lost)}.",
                    count=len(lost),
                    command=psql(f"ALTER TABLE {table.name} {adding}"),
                )
            )
    return Section(title="Tables", findings=tuple(found), note=f"all {len(names())} with their columns")


async def orphans(connection: Connection) -> Section:
    """Rows whose foreign key leads nowhere: possible where a constraint was dropped or its triggers were disabled."""
    disabled = [finding async for finding in _disabled_triggers(connection)]
    keys = [(table, key) for table in our_tables() for key in _foreign_keys(table)]
    found = [finding for table, key in keys if (finding := await _orphans_of(connection, table, key))]
    return Section(title="Orphaned rows", findings=(*disabled, *found), note=f"none behind {len(keys)} foreign keys")


async def _disabled_triggers(connection: Connection) -> AsyncIterator[Finding]:
    sql = """
        SELECT tgrelid::regclass::text, count(*) FROM pg_trigger
        WHERE tgisinternal AND tgenabled = 'D' AND tgrelid = ANY(%s::regclass[]) GROUP BY 1 ORDER BY 1
    """
    for table, count in await query(connection, sql, names()):
        yield Finding(
            code="disabled_trigger",
            what=f"The foreign keys of {table} are switched off: {count} of their triggers are disabled.",
            count=count,
            command=psql(f"ALTER TABLE {table} ENABLE TRIGGER ALL"),
        )


def _foreign_keys(table: Table) -> list[ForeignKeyConstraint]:
    return sorted(table.foreign_key_constraints, key=_name)


async def _orphans_of(connection: Connection, table: Table, key: ForeignKeyConstraint) -> Finding | None:
    parent = key.referred_table.name
    columns = [column.name for column in key.columns]
    where = " AND ".join(f"{table.name}.{column} IS NOT NULL" for column in columns)
    pairs = " AND ".join(f"parent.{e.column.name} = {table.name}.{e.parent.name}" for e in key.elements)
    where += f" AND NOT EXISTS (SELECT FROM {parent} AS parent WHERE {pairs})"
    ((count,),) = await query(connection, f"SELECT count(*) FROM {table.name} WHERE {where}")  # noqa: S608
    if not count:
        return None
    identity = ", ".join(f"{table.name}.{column.name}" for column in table.primary_key)
    sql = f"SELECT concat_ws('/', {identity}) FROM {table.name} WHERE {where} LIMIT {EXAMPLES}"  # noqa: S608
    examples = tuple(f"{table.name} {row[0]}" for row in await query(connection, sql))
    if key.ondelete == "SET NULL":
        mending = f"UPDATE {table.name} SET {', '.join(f'{column} = NULL' for column in columns)} WHERE {where}"  # noqa: S608
    else:
        mending = f"DELETE FROM {table.name} WHERE {where}"  # noqa: S608
    return Finding(
        code="orphaned_rows",
        what=f"{count:,} rows of {table.name} whose {', '.join(columns)} leads to no row of {parent}.",
        count=count,
        examples=examples,
        command=psql(mending),
    )


async def constraints(connection: Connection) -> Section:
    """Every constraint of the models is there, foreign keys do what they should, and all were checked."""
    sql = """
        SELECT conname, contype::text, convalidated, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE conrelid = %s::regclass
    """
    found: list[Finding] = []
    total = 0
    for table in our_tables():
        there = {row[0]: row[1:] for row in await query(connection, sql, table.name)}
        for constraint in sorted(table.constraints, key=_name):
            total += 1
            finding = _judged(table.name, constraint, there.get(_name(constraint)))
            if finding is not None:
                found.append(finding)
    return Section(title="Constraints", findings=tuple(found), note=f"all {total} hold")


def _judged(table: str, constraint: Constraint, there: tuple[str, bool, str] | None) -> Finding | None:
    name = _name(constraint)
    adding = str(AddConstraint(constraint, isolate_from_table=False).compile(dialect=DIALECT)).strip()
    if there is None:
        what, command = f"The constraint {name} of {table} is missing.", psql(adding)
        return Finding(code="missing_constraint", what=what, count=1, command=command)
    kind, validated, definition = there
    wanted = adding.partition(f"ADD CONSTRAINT {name} ")[2]
    if kind == "f" and plain(definition.removesuffix(" NOT VALID")) != plain(wanted):
        what = f"The foreign key {name} of {table} is not as it should be: {definition}."
        command = psql(f"ALTER TABLE {table} DROP CONSTRAINT {name}", adding)
        return Finding(code="wrong_constraint", what=what, count=1, command=command)
    if not validated:
        what = f"The constraint {name} of {table} was never checked against the rows that are there."
        command = psql(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        return Finding(code="unchecked_constraint", what=what, count=1, command=command)
    return None


def _name(constraint: Constraint) -> str:
    return DIALECT.identifier_preparer.format_constraint(constraint) or ""


def plain(definition: str) -> str:
    """A definition without what PostgreSQL adds when it writes one out: casts of text, brackets, the schema."""
    definition = re.sub(r" on \w+\.", " on ", definition.lower())
    return re.sub(r'::(text|character varying)|using btree|[()\s"]', "", definition)
