"""Memory of the processes that crawl, over a short list and one ten times as long."""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.contestants import crawl_command, crawled, gleanset_environment, prepare_gleanset, typed
from benchmarks.report import Result, versions
from benchmarks.web import pictures, scratch, write_list
from tests.nginx import Nginx

MEGABYTE = 1_000_000
EVERY = 0.05
POINTS = 200


def measure(*, quick: bool) -> Result:
    counts = (500, 2_000) if quick else (5_000, 50_000)
    files = pictures(counts[0])
    names = [path.name for path in files]
    measured: dict[int, dict[str, Any]] = {}
    with Nginx(files[0].parent) as web:
        for count in counts:
            with scratch() as folder:
                write_list(folder / "list.txt", web.base_url, names, count)
                measured[count] = _watch(folder, count)
    rows = [
        (
            f"{count:,}",
            f"{m['peak'] / MEGABYTE:,.0f}",
            f"{m['second_quarter'] / MEGABYTE:,.0f}",
            f"{m['last_quarter'] / MEGABYTE:,.0f}",
            f"{m['images_per_second']:,.0f}",
        )
        for count, m in measured.items()
    ]
    return Result(
        title="Memory of the worker during a crawl",
        columns=("URLs", "peak MB", "median MB, second quarter", "median MB, last quarter", "images/s"),
        rows=rows,
        figures={str(count): m for count, m in measured.items()},
        notes=(
            f"The worker and its decoders together (proportional set size), sampled every {EVERY * 1000:.0f} ms; "
            "shared libraries count, PostgreSQL's own processes do not.",
            f"The longer list names the same {counts[0]:,} files under other query strings.",
        ),
        commands=tuple(typed(crawl_command(Path(f"list-{count}.txt"), count)) for count in counts),
        versions=versions("aiohttp", "simplejpeg", "psycopg", "procrastinate"),
    )


def _watch(folder: Path, count: int) -> dict[str, Any]:
    home = folder / "home"
    prepare_gleanset(home)
    start = time.perf_counter()
    with (folder / "err").open("wb") as errors, (folder / "out").open("wb") as output:
        process = subprocess.Popen(
            crawl_command(folder / "list.txt", count), env=gleanset_environment(home), stdout=output, stderr=errors
        )
        samples = _sample(process)
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        raise SystemExit(f"gleanset ended with {process.returncode}:\n{(folder / 'err').read_text()[-2000:]}")
    crawled((folder / "out").read_text(), count)
    quarter = len(samples) // 4
    return {
        "peak": max(samples),
        "second_quarter": statistics.median(samples[quarter : 2 * quarter]),
        "last_quarter": statistics.median(samples[3 * quarter :]),
        "images_per_second": count / seconds,
        "seconds": seconds,
        "samples": samples[:: max(1, len(samples) // POINTS)],
    }


def _sample(process: subprocess.Popen[bytes]) -> list[int]:
    """Bytes of our Python processes together, until the command ends; what they share counts once."""
    samples: list[int] = []
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            ours = [p for p in (root, *root.children(recursive=True)) if p.name().startswith(("python", "gleanset"))]
            samples.append(sum(p.memory_full_info().pss for p in ours))
        except (psutil.NoSuchProcess, ValueError):
            continue
        time.sleep(EVERY)
    return samples
