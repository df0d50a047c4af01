"""A Gleanset of one's own, from nothing set up to nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from PIL import Image
from sqlalchemy import create_engine, text

from gleanset.client import Client, load
from gleanset.errors import AccessDenied, DatasetError, NotThere, Unreachable
from tests.client.conftest import HASTE
from tests.client.making import picture


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is started here works on a database that is there already."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("GLEANSET_HEARTBEAT", "0.3")
    return database_url


def below(pid: int | None = None) -> list[psutil.Process]:
    """The processes that one has started, those of its children among them."""
    return [
        child for child in psutil.Process(pid).children(recursive=True) if "backend.cli" in " ".join(child.cmdline())
    ]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def keys(database_url: str) -> int:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM api_keys")).scalar_one()
    engine.dispose()
    return count


@pytest.fixture
def home() -> Iterator[Path]:
    """Where the server's own user may go: another run of pytest shuts the folders above its own temporary ones."""
    folder = Path(tempfile.mkdtemp(prefix="gl-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_nothing_is_set_up_and_nothing_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("GLEANSET_", "DATABASE_"))]:
        monkeypatch.delenv(name)
    with Client.local(home) as client:
        client.projects.create("Coast")
        until(lambda: [each for each in below() if "worker" in each.cmdline()])
    assert below() == []
    until(lambda: not (home / "postgresql/postmaster.pid").exists())
    with pytest.raises(NotThere, match="there is none"):
        load("Coast/terns", folder=home)
    assert below() == []


def test_exports_are_read_where_they_lie(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder too, which nothing could send; and the newest, though an earlier one is a file."""
    monkeypatch.setenv("GLEANSET_HOME", str(tmp_path / "home"))
    (tmp_path / "pets/cat").mkdir(parents=True)
    for number in range(4):
        (tmp_path / "pets/cat" / f"{number}.jpg").write_bytes(picture(number))
    for command in (
        ("crawl", "--folder", "pets"),
        ("export", "1", "--name", "Pets", "--format", "zip"),
        ("export", "1", "--name", "Pets", "--format", "folder"),
        ("export", "1", "--name", "Packed", "--format", "tar.gz"),
    ):
        subprocess.run([sys.executable, "-m", "backend.cli", *command], cwd=tmp_path, check=True, capture_output=True)
    with Client.local(tmp_path / "home", workers=0, cache=tmp_path / "cache") as client:
        packed, folder, zipped = client.export_jobs.list()
        project = client.projects.get(client.crawl_jobs.get(folder.crawl_job_id).project_id)
        with client.load(f"{project.name}/Pets") as dataset:
            assert f"export {folder.id}, {tmp_path}/home/exports/export-{folder.id}.folder" in repr(dataset)
            assert {sample.image.tobytes() for sample in dataset} == {
                Image.open(BytesIO(picture(number))).tobytes() for number in range(4)
            }
        with pytest.raises(DatasetError, match="closed"):
            dataset[0]
        with client.load(zipped.id) as dataset:
            assert len(list(dataset)) == 4
        assert not (tmp_path / "cache").exists()
        with client.load(packed) as dataset:
            assert len(list(dataset)) == 4
    with load(f"{project.name}/Pets", folder=tmp_path / "home") as dataset:
        assert len(list(dataset)) == 4


def test_others_use_the_same_data_at_the_same_time(database: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "backend.cli", "up", "--port", "0", "--processes", "1"]
    environment = {**os.environ, "GLEANSET_HOME": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout
            link = up.stdout.readline()
            with Client.local(tmp_path, workers=0) as client:
                made = client.projects.create("Shared")
                assert client._server
                key = client._server.key
                with Client(link.partition("/login/")[0], key, patience=HASTE) as other:
                    assert other.projects.get(made) == made
                if (child := os.fork()) == 0:  # with connections of its own, and nothing of its parent's to end
                    good = client.projects.get(made) == made
                    client.close()
                    os._exit(0 if good else 1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                assert client.projects.get(made) == made
            assert keys(database) == 0
            with pytest.raises(AccessDenied):
                other.projects.get(made)
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(20)


def test_whoever_is_killed_leaves_nothing_running(database: str, tmp_path: Path) -> None:
    code = (
        "import sys, time; from gleanset.client import Client\n"
        "client = Client.local(sys.argv[1])\n"
        "print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        until(lambda: len(below(process.pid)) == 2)
        family = below(process.pid)
        process.kill()
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert keys(database) == 0


def test_what_does_not_start_says_why(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLEANSET_PER_HOST", "many")
    with pytest.raises(Unreachable, match="GLEANSET_PER_HOST is not right"):
        Client.local(tmp_path)
    assert below() == []
