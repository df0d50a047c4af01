"""The real command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backend.cli import main
from backend.config import get_settings

GLEANSET = [sys.executable, "-m", "backend.cli"]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """Runs `gleanset` with the environment of this test."""

    environment: dict[str, str]
    folder: Path

    def start(self, *arguments: str, **kwargs: Any) -> subprocess.Popen[str]:
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*GLEANSET, *arguments], env=self.environment, cwd=self.folder, **(options | kwargs))

    def run(self, *arguments: str) -> Done:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return Done(process.returncode, out, err)

    def ok(self, *arguments: str) -> Done:
        """Run a command that must succeed."""
        done = self.run(*arguments)
        assert done.code == 0, done.err
        return done


@pytest.fixture
def cli(database_url: str, tmp_path: Path) -> Cli:
    """On a migrated database of the test's own."""
    return Cli(_environment(tmp_path) | {"DATABASE_URL": database_url, "GLEANSET_HEARTBEAT": "0.3"}, tmp_path)


@dataclass(frozen=True)
class Inside:
    """Runs `gleanset` in this process, for what needs no process of its own: the same `main`, without its start-up."""

    cli: Cli
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, **environment: str) -> Done:
        for name, value in (self.cli.environment | environment).items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.chdir(self.cli.folder)
        self.monkeypatch.setattr(sys, "argv", ["gleanset", *arguments])
        get_settings.cache_clear()
        with pytest.raises(SystemExit) as ended:
            main()
        get_settings.cache_clear()
        return Done(int(ended.value.code or 0), *self.capsys.readouterr())

    def ok(self, *arguments: str, **environment: str) -> Done:
        """Run a command that must succeed."""
        done = self(*arguments, **environment)
        assert done.code == 0, done.err
        return done


@pytest.fixture
def inside(cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    return Inside(cli, monkeypatch, capsys)


@pytest.fixture
def embedded_cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """With nothing set up: the embedded database in an empty data folder, stopped at the end."""
    folder = tmp_path_factory.mktemp("e")
    cli = Cli(_environment(folder), folder)
    yield cli
    cli.ok("db", "stop")


def _environment(folder: Path) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("GLEANSET_", "DATABASE_"))}
    return mine | {"GLEANSET_HOME": str(folder / "home"), "COLUMNS": "200"}
