"""The `alembic` command as a person runs it, and a fingerprint of a schema to compare."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
from sqlalchemy import create_engine, pool

from backend.db import alembic_config, libpq_url

ROOT = Path(__file__).parents[2]

FINGERPRINT = r"""
SELECT 'column', c.oid::regclass::text || '.' || attname,
    format_type(atttypid, atttypmod) || ' ' || attnotnull || ' ' || coalesce(pg_get_expr(adbin, adrelid), '')
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE c.relnamespace = 'public'::regnamespace AND relkind IN ('r', 'c') AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'function', oid::regprocedure::text, regexp_replace(prosrc, '\s+', ' ', 'g')
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'type', typname, typtype::text FROM pg_type
WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid)
FROM pg_trigger WHERE NOT tgisinternal
"""


def alembic(*arguments: str, url: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command in the repository; it must succeed and warn of nothing."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("alembic")), *arguments],
        cwd=folder,
        env={**os.environ, "DATABASE_URL": libpq_url(url)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    return done


def migrate(url: str, run: Callable[..., object], *arguments: object) -> None:
    """One of Alembic's commands without the seconds that a new process takes."""
    config = alembic_config()
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        run(config, *arguments)


def fingerprint(url: str) -> set[tuple[str, str, str]]:
    with psycopg.connect(libpq_url(url)) as connection:
        return set(connection.execute(FINGERPRINT).fetchall())


def rows(url: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(libpq_url(url)) as connection:
        return connection.execute(sql.encode()).fetchall()


def tables(url: str) -> set[str]:
    return {str(name) for (name,) in rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def write(url: str, sql: str) -> None:
    with psycopg.connect(libpq_url(url)) as connection:
        connection.execute(sql.encode())


def counted(url: str) -> dict[str, int]:
    """How many rows each table has."""
    return {name: int(str(rows(url, f"SELECT count(*) FROM {name}")[0][0])) for name in tables(url)}
