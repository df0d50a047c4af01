"""A project and its owner in a database of the test's own, and outcomes to record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.db import Database
from backend.services import profiles
from tests.services.helpers import Place


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> Place:
    async with database.transaction() as session:
        owner = await profiles.local_owner(session)
        project = await profiles.project_named(session, owner, "tests")
        return Place(database, owner.id, project.id, tmp_path)
