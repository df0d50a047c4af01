"""The wheel, installed into an empty environment, does the whole demo far from the checkout."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

ROOT = Path(__file__).parent.parent
JSON_KEYS = {
    *("project_id", "crawl_job_id", "validation_job_id", "export_job_id", "status", "total_images"),
    *("downloaded_images", "valid_images", "failures", "invalid", "seconds", "images_per_second"),
    *("export_path", "file_size"),
}


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel and its dependencies, and a folder to run in."""

    python: Path
    folder: Path

    def gleanset(self, *args: str) -> str:
        """Standard output of a run that has to succeed without a warning."""
        run = subprocess.run(
            [self.python.parent / "gleanset", *args],
            cwd=self.folder,
            env={"PATH": os.defpath, "HOME": str(self.folder), "GLEANSET_HOME": str(self.folder / "gleanset")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
        assert "Warning" not in run.stderr
        assert "Traceback" not in run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _python(Path(sys.executable), "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    environment = tmp_path_factory.mktemp("venv")
    _python(Path(sys.executable), "venv", str(environment))
    python = environment / "bin" / "python"
    pip = ("pip", "--disable-pip-version-check", "--quiet")
    pinned = ("--no-compile", "--require-hashes", "--requirement", str(ROOT / "requirements.txt"))
    _python(python, *pip, "install", *pinned)
    _python(python, *pip, "install", "--no-index", "--no-deps", str(wheel))
    _python(python, *pip, "check")
    folder = tmp_path_factory.mktemp("far")
    yield Installed(python, folder)
    _stop_servers(folder)


def _python(python: Path, module: str, *args: str) -> None:
    run = subprocess.run([python, "-m", module, *args], capture_output=True, text=True, cwd=python.parent)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"


def _stop_servers(folder: Path) -> None:
    """End the embedded server of a run that failed; one that succeeded has ended it."""
    for pid_file in folder.rglob("postmaster.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)


def test_the_wheel_carries_packages_migrations_and_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (licence,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        assert "Copyright 2026 The Gleanset authors" in archive.read(licence).decode()
        assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()
    sources = {file for package in ("gleanset", "backend") for file in (ROOT / package).rglob("*.py")}
    expected = {file.relative_to(ROOT).as_posix() for file in sources}
    expected |= {f"backend/_{file.relative_to(ROOT).as_posix()}" for file in (ROOT / "alembic").rglob("*.py")}
    expected |= {"gleanset/py.typed", "backend/_alembic/env.py", "backend/_alembic/script.py.mako"}
    assert expected - names == set()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"gleanset", "backend"}
    assert [name for name in names if name.endswith(".pyc")] == []


def test_help(installed: Installed) -> None:
    printed = installed.gleanset("--help")
    assert [command for command in ("demo", "crawl", "export", "worker") if command not in printed] == []


def test_the_migrations_run_from_the_wheel(installed: Installed) -> None:
    installed.gleanset("db", "upgrade")
    head = ScriptDirectory(str(ROOT / "alembic")).get_current_head()
    assert head
    assert head in installed.gleanset("db", "current")


def test_the_demo_packs_a_dataset(installed: Installed) -> None:
    result = json.loads(installed.gleanset("demo", "--json"))
    assert result.keys() == JSON_KEYS
    assert result["status"] == "completed"
    assert result["total_images"] >= result["downloaded_images"] >= result["valid_images"] > 0
    assert result["failures"]
    assert result["invalid"]
    packed = installed.folder / result["export_path"]
    assert packed.stat().st_size == result["file_size"]
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
