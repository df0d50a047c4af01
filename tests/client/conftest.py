"""A web process, a worker and somebody with an API key, for tests of the Python client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.config import Settings
from backend.models import Profile
from backend.services.access import Scope
from gleanset.client import Client, ExportJob, Patience
from tests.api.working import worker
from tests.api.world import give_key
from tests.client.making import gathered
from tests.postgres import Server
from tests.serving import Served, serving

HASTE = Patience(attempts=4, pause=0.02, longest=1.0, connect=5.0, read=20.0)


@dataclass
class Person:
    """Somebody on the server, and the key to be them."""

    id: UUID
    key: str


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    with embedded.migrated() as url, serving(Settings(home=home, database_url=url), url) as running:
        yield running


@pytest.fixture(scope="module")
def working(served: Served) -> Iterator[None]:
    with worker(served):
        yield


@pytest.fixture
def person(served: Served) -> Person:
    """Somebody new."""
    return somebody(served)


@pytest.fixture(scope="module")
def packer(served: Served) -> Person:
    """Whose `packed` is."""
    return somebody(served)


def somebody(served: Served) -> Person:
    user_id = served.person()

    async def key(session: AsyncSession) -> str:
        return await give_key(session, await session.get_one(Profile, user_id), Scope.WRITE)

    return Person(user_id, served.run(key))


@pytest.fixture
def client(served: Served, person: Person, tmp_path: Path) -> Iterator[Client]:
    with Client(served.url, person.key, cache=tmp_path / "cache", patience=HASTE) as client:
        yield client


@pytest.fixture(scope="module")
def packed(served: Served, working: None, packer: Person, tmp_path_factory: pytest.TempPathFactory) -> ExportJob:
    """An export of 40 pictures under two labels, `Tests/Birds`, of about 2 MB."""
    job = gathered(served, packer.id, tmp_path_factory.mktemp("jobs"), 40)
    with Client(served.url, packer.key, patience=HASTE) as client:
        return client.export_jobs.wait(client.export_jobs.create(job, "Birds"), timeout=60)
