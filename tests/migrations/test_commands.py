"""The commands of the contract, run as a person runs them: `alembic ...` in the repository."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.db import revisions
from backend.errors import BadInput
from tests.migrations.filling import FILL
from tests.migrations.helpers import ROOT, alembic, counted, fingerprint, rows, write
from tests.postgres import Server


@pytest.fixture
def url(embedded: Server) -> Iterator[str]:
    with embedded.empty() as url:
        yield url


def test_the_way_of_the_contract(url: str) -> None:
    alembic("upgrade", "+1", url=url)
    assert alembic("current", url=url).stdout.strip() == "001"
    alembic("upgrade", "head", url=url)
    write(url, FILL)
    before = counted(url)
    alembic("stamp", "base", url=url)
    alembic("upgrade", "head", url=url)
    assert counted(url) == before
    alembic("downgrade", "-1", url=url)
    assert rows(url, "SELECT * FROM alembic_version") == [("012",)]
    alembic("downgrade", "base", url=url)
    assert set(counted(url)) == {"alembic_version"}


def test_history(url: str) -> None:
    history = alembic("history", url=url).stdout
    steps = [line.split(",")[0] for line in history.splitlines()]
    assert steps == [
        "012 -> 013 (head)",
        "011 -> 012",
        "010 -> 011",
        "009 -> 010",
        "008 -> 009",
        "007 -> 008",
        "006 -> 007",
        "005 -> 006",
        "004 -> 005",
        "003 -> 004",
        "002 -> 003",
        "001 -> 002",
        "<base> -> 001",
    ]


def test_upgrades_at_once_do_not_collide(url: str, embedded: Server) -> None:
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(alembic, "upgrade", "head", url=url) for _ in range(4)]:
            done.result()
    with embedded.migrated() as other:
        assert fingerprint(url) == fingerprint(other)


def test_a_new_revision_gets_the_next_number_and_runs_as_it_is(embedded: Server, tmp_path: Path) -> None:
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
    with embedded.migrated() as url:
        whole = fingerprint(url)
        write(url, "DROP INDEX ix_images_downloaded, uq_profiles_lower_email")
        alembic("revision", "--autogenerate", "-m", "Mend it", url=url, folder=tmp_path)
        made = (tmp_path / "alembic/versions/014_mend_it.py").read_text()
        assert "procrastinate" not in made
        alembic("upgrade", "head", url=url, folder=tmp_path)
        assert fingerprint(url) == whole
        assert "No new upgrade operations" in alembic("check", url=url, folder=tmp_path).stdout


def test_a_database_that_cannot_hold_every_text_is_told_so(embedded: Server) -> None:
    embedded.execute("CREATE DATABASE plain ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        with pytest.raises(BadInput, match="encoding SQL_ASCII; titles and names need UTF8"):
            revisions(embedded.url("plain"))
    finally:
        embedded.execute("DROP DATABASE plain WITH (FORCE)")
