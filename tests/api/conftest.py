from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backend.config import Settings
from tests.postgres import Server
from tests.serving import Served, serving


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One web process and database for a file of tests; each test makes its own people and projects."""
    home: Path = tmp_path_factory.mktemp("home")
    with embedded.migrated() as url, serving(Settings(home=home, database_url=url), url) as running:
        yield running


@pytest.fixture
def me(served: Served) -> Iterator[httpx.Client]:
    """Somebody who is logged in."""
    with served.browser(served.person()) as client:
        yield client


@pytest.fixture
def other(served: Served) -> Iterator[httpx.Client]:
    """Somebody else."""
    with served.browser(served.person()) as client:
        yield client
