"""Databases for every test that wants one. `tests/migrations` and `tests/contract` run on Debian's server as well."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import create_engine, pool
from sqlalchemy.orm import Session

from tests.postgres import Server, debian_server, embedded_server

# Tests start some hundred commands. Where the machine forbids bytecode, each of them would compile all modules anew.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(tempfile.gettempdir()) / "gleanset-tests-bytecode"))


def _log_plainly() -> None:
    """Without the usual tracebacks, which show every local variable and take seconds."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        logger_factory=structlog.PrintLoggerFactory(),
    )


_log_plainly()


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Commands that ran in this process have set theirs, to streams that are closed by now."""
    yield
    _log_plainly()


@pytest.fixture(scope="session")
def embedded() -> Iterator[Server]:
    with embedded_server() as server:
        yield server


@pytest.fixture(scope="session")
def debian15() -> Iterator[Server]:
    with debian_server() as server:
        yield server


@pytest.fixture
def server(embedded: Server) -> Server:
    return embedded


@pytest.fixture
def empty_url(server: Server) -> Iterator[str]:
    """A database of the test's own without tables."""
    with server.empty() as url:
        yield url


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """A database of the test's own with all tables and no rows; what the test commits goes with it."""
    with server.migrated() as url:
        yield url


@pytest.fixture
def session(server: Server) -> Iterator[Session]:
    """A plain session whose commits are savepoints: in the end everything is rolled back."""
    engine = create_engine(server.shared(), poolclass=pool.NullPool)
    with engine.connect() as connection, connection.begin() as transaction:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        transaction.rollback()
