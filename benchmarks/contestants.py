"""Gleanset's own commands as they are measured, and what a run of any command comes to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.web import CACHE

DECODERS = os.cpu_count() or 1
"""Decoders of a worker, as Gleanset's settings have it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: images it got, seconds by its own clock, and those of the whole command from start to exit, if any."""

    images: int
    own_seconds: float
    seconds: float | None = None


def environment() -> dict[str, str]:
    """Compiled modules are kept for all sides, even where the machine forbids it: a start would compile them anew."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}


def gleanset_environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in environment().items() if not key.startswith("GLEANSET_")}
    kept.pop("DATABASE_URL", None)
    return {**kept, "GLEANSET_HOME": str(home)}


def gleanset(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("gleanset")), *arguments]


def crawl_command(urls: Path, count: int, *more: str) -> list[str]:
    own = ("--allow-private", "--own", "127.0.0.1")
    return gleanset("crawl", "--urls", str(urls), "-n", str(count), *own, "--json", *more)


def typed(command: list[str]) -> str:
    """The command as one would type it, its program without the folder."""
    return " ".join([Path(command[0]).name, *command[1:]])


def prepare_gleanset(home: Path) -> None:
    """Make the database, as the first command on a machine would."""
    finished(gleanset("db", "upgrade"), gleanset_environment(home))


def run_gleanset(folder: Path, urls: Path, count: int, *more: str) -> Run:
    home = folder / "home"
    prepare_gleanset(home)
    seconds, output = timed(crawl_command(urls, count, *more), gleanset_environment(home))
    return Run(count, crawled(output, count)["seconds"], seconds)


def crawled(output: str, count: int) -> dict[str, Any]:
    """The crawl's JSON; a run that lost some images is not a figure."""
    report: dict[str, Any] = json.loads(output)
    if report["downloaded_images"] != count:
        raise SystemExit(f"gleanset got {report['downloaded_images']} of {count} images: {report['failures']}")
    return report


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Seconds from the command's start to its exit, and what it printed."""
    start = time.perf_counter()
    output = finished(command, environment)
    return time.perf_counter() - start, output


def finished(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout
