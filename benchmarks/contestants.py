"""The commands that are measured: Gleanset's own, and img2dataset's in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.web import CACHE

PEERS = Path(__file__).parent / "requirements-peers.txt"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one command: seconds from start to exit, images it got, and what it printed."""

    seconds: float
    images: int
    output: str

    @property
    def per_second(self) -> float:
        return self.images / self.seconds


def gleanset_environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in _environment().items() if not key.startswith("GLEANSET_")}
    kept.pop("DATABASE_URL", None)
    return {**kept, "GLEANSET_HOME": str(home)}


def gleanset(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("gleanset")), *arguments]


def crawl_command(urls: Path, count: int) -> list[str]:
    return gleanset("crawl", "--urls", str(urls), "-n", str(count), "--allow-private", "--own", "127.0.0.1", "--json")


def prepare_gleanset(home: Path) -> None:
    """Make the database, as the first command on a machine would."""
    _finish(gleanset("db", "upgrade"), gleanset_environment(home))


def run_gleanset(folder: Path, urls: Path, count: int) -> Run:
    home = folder / "home"
    prepare_gleanset(home)
    run = timed(crawl_command(urls, count), gleanset_environment(home))
    return Run(run.seconds, downloaded(run.output, count), run.output)


def downloaded(output: str, count: int) -> int:
    """How many images the crawl's JSON reports; a run that lost some is not a figure."""
    report: dict[str, Any] = json.loads(output)
    if report["downloaded_images"] != count:
        raise SystemExit(f"gleanset got {report['downloaded_images']} of {count} images: {report['failures']}")
    return count


def img2dataset_command(program: Path, folder: Path, urls: Path, count: int, *, reencode: bool) -> list[str]:
    options: dict[str, object] = {
        "url_list": urls,
        "input_format": "txt",
        "output_folder": folder,
        "output_format": "files",
        "resize_mode": "no",
        "processes_count": 2,
        "thread_count": 32,
        "number_sample_per_shard": -(-count // 2),
        "enable_wandb": False,
    }
    if not reencode:
        options["skip_reencode"] = True
    return [str(program), *(part for key, value in options.items() for part in (f"--{key}", str(value)))]


def run_img2dataset(folder: Path, urls: Path, count: int, *, reencode: bool) -> Run:
    out = folder / "out"
    run = timed(img2dataset_command(img2dataset_program(), out, urls, count, reencode=reencode), _quiet_environment())
    images = sum(1 for _ in out.rglob("*.jpg"))
    if images != count:
        raise SystemExit(f"img2dataset got {images} of {count} images:\n{run.output}")
    return Run(run.seconds, images, run.output)


def img2dataset_program() -> Path:
    """img2dataset's command; its environment is made at the first call, and again when the pins change."""
    folder = CACHE / "peers"
    marker = folder / PEERS.name
    if not marker.exists() or marker.read_text() != PEERS.read_text():
        print("Making an environment for img2dataset ...", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        _finish([str(folder / "bin" / "pip"), "install", "--quiet", "-r", str(PEERS)], dict(os.environ))
        marker.write_text(PEERS.read_text())
    return folder / "bin" / "img2dataset"


def timed(command: list[str], environment: dict[str, str]) -> Run:
    start = time.perf_counter()
    output = _finish(command, environment)
    return Run(time.perf_counter() - start, 0, output)


def _environment() -> dict[str, str]:
    """Compiled modules are kept for both sides, even where the machine forbids it: a start would compile them anew."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}


def _quiet_environment() -> dict[str, str]:
    return {**_environment(), "NO_ALBUMENTATIONS_UPDATE": "1"}  # it would ask the network for its newest version


def _finish(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout
