"""Real worker processes on a database of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from backend.config import Settings
from backend.db import Database


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    """What a worker process of this test is started with: small batches, so that much can go wrong between them."""
    return {
        **os.environ,
        "GLEANSET_HOME": str(tmp_path / "home"),
        "DATABASE_URL": database_url,
        "GLEANSET_HEARTBEAT": "0.3",
        "GLEANSET_BATCH": "10",
        "GLEANSET_WINDOW": "8",
        "GLEANSET_ROWS_PER_CHUNK": "150",
        "GLEANSET_CHUNKS_AT_ONCE": "2",
    }


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


StartWorker = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    """Starts `gleanset worker` processes; whatever still runs at the end of the test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        log = (tmp_path / f"worker-{len(started)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "worker", *arguments],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
