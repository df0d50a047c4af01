from __future__ import annotations

import re
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
    with (
        embedded.migrated() as url,
        serving(Settings(home=home, database_url=url, contact="us@example.org"), url) as running,
    ):
        yield running


@pytest.fixture
def me(served: Served) -> Iterator[httpx.Client]:
    """Somebody's browser, which takes pages and sends the token with its forms as the pages give it."""
    with served.browser(served.person(), follow_redirects=True) as client:
        client.headers["Accept"] = "text/html"
        yield client


@pytest.fixture
def project(me: httpx.Client) -> int:
    """A project of theirs."""
    answer = me.post("/projects/new", data={"name": "Birds"})
    found = re.search(r"/projects/(\d+)$", str(answer.url))
    assert found
    return int(found[1])
