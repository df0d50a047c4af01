"""The other tools' commands, in a virtual environment of their own."""

from __future__ import annotations

import json
import os
import sys
import venv
from pathlib import Path

from benchmarks.contestants import Run, environment, finished, timed
from benchmarks.web import CACHE

HERE = Path(__file__).parent


def programs(name: str = "peers") -> Path:
    """The folder of their programs; the environment is made at the first call, and again when the pins change."""
    folder = CACHE / name
    requirements = _requirements(name)
    marker = folder / requirements.name
    if not marker.exists() or marker.read_text() != requirements.read_text():
        print("Making an environment for the other tools ...", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--no-deps", "-r", str(requirements)]
        finished(pip, dict(os.environ))
        marker.write_text(requirements.read_text())
    return folder / "bin"


def versions(*names: str, name: str = "peers") -> dict[str, str]:
    pins = dict(line.split("==") for line in _requirements(name).read_text().splitlines() if "==" in line)
    return {each: pins[each] for each in names}


def _requirements(name: str) -> Path:
    """With every package that is needed: nothing else is installed."""
    return HERE.with_name(f"requirements-{name}.txt")


def img2dataset_command(program: Path, urls: Path, out: Path, count: int, options: dict[str, object]) -> list[str]:
    """One shard a process, which is its fastest setting here."""
    given: dict[str, object] = {
        "url_list": urls,
        "input_format": "txt",
        "output_folder": out,
        "output_format": "files",
        "processes_count": 2,
        "thread_count": 32,
        "number_sample_per_shard": -(-count // 2),
        "enable_wandb": False,
        **options,
    }
    return [str(program), *(part for key, value in given.items() for part in (f"--{key}", str(value)))]


def run_img2dataset(folder: Path, urls: Path, count: int, options: dict[str, object]) -> Run:
    out = folder / "out"
    command = img2dataset_command(programs() / "img2dataset", urls, out, count, options)
    # One of its libraries would ask the network for a newer version; another leaves folders behind.
    quiet = {"NO_ALBUMENTATIONS_UPDATE": "1", "TMPDIR": str(folder)}
    seconds, output = timed(command, {**environment(), **quiet})
    _check("img2dataset", sum(1 for _ in out.rglob("*.jpg")), count, output)
    # What its log calls `images per sec` of `total`, before it is rounded.
    stats = [json.loads(path.read_text()) for path in out.glob("*_stats.json")]
    own = max(shard["end_time"] for shard in stats) - min(shard["start_time"] for shard in stats)
    return Run(count, own, seconds)


def script_command(python: Path, script: Path, urls: Path, out: Path, at_once: int) -> list[str]:
    return [str(python), str(script), str(urls), str(out), str(at_once)]


def run_script(folder: Path, urls: Path, count: int, script: str, at_once: int) -> Run:
    """One of the scripts beside this file; it prints its own seconds as JSON."""
    out = folder / "out"
    seconds, output = timed(script_command(programs() / "python", HERE / script, urls, out, at_once), environment())
    _check(script, sum(1 for _ in out.rglob("*.jpg")), count, output)
    return Run(count, json.loads(output)["seconds"], seconds)


def _check(name: str, images: int, count: int, output: str) -> None:
    if images != count:
        raise SystemExit(f"{name} got {images} of {count} images:\n{output}")
