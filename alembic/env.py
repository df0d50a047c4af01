"""How Alembic reaches the database and reads the models, in the repository and inside an installed wheel alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from logging.config import fileConfig
from typing import Any

from alembic import context
from alembic.operations import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool, text

from backend.models import Base

config = context.config

# One upgrade at a time: a second one waits, then finds nothing left to do. Any number will do, so long as it stays.
UPGRADE_LOCK = 4_715_326_548


def include_name(name: str | None, kind: str, _parents: Mapping[str, Any]) -> bool:
    """The work queue's tables are procrastinate's own, not models of ours."""
    return kind != "table" or not (name or "").startswith("procrastinate_")


def number(_context: MigrationContext, _revision: Any, scripts: Iterable[MigrationScript]) -> None:
    """Revisions count on: 001, 002 ..."""
    head = ScriptDirectory.from_config(config).get_current_head()
    for script in scripts:
        script.rev_id = f"{int(head or 0) + 1:03d}"


OPTIONS: dict[str, Any] = {
    "target_metadata": Base.metadata,
    "include_name": include_name,
    "process_revision_directives": number,
    "compare_type": True,
    "compare_server_default": True,
}


def print_sql() -> None:
    """For `--sql`: needs no database, and starts none."""
    context.configure(
        dialect_name="postgresql+psycopg", literal_binds=True, dialect_opts={"paramstyle": "named"}, **OPTIONS
    )
    with context.begin_transaction():
        context.run_migrations()


def migrate(connection: Connection) -> None:
    context.configure(connection=connection, **OPTIONS)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        context.run_migrations()


def database() -> str:
    """The address set on the config, else the one that the service itself uses."""
    configured = config.get_main_option("sqlalchemy.url")
    if configured:
        return configured
    from backend.db import database_url  # not at the top: it is of no use to `--sql`

    return database_url()


def main() -> None:
    if config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    if context.is_offline_mode():
        print_sql()
    elif (connection := config.attributes.get("connection")) is not None:
        migrate(connection)
    else:
        engine = create_engine(database(), poolclass=pool.NullPool)
        with engine.connect() as connection:
            migrate(connection)


main()
