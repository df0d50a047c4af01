"""The decode floor: `gleanset.inspect` over files in memory, on one thread and on two."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.report import Result, versions
from benchmarks.web import pictures
from gleanset.inspect import inspect

THREADS = (1, 2)


def measure(*, quick: bool) -> Result:
    count, repetitions = (200, 1) if quick else (2_000, 5)
    files = pictures(500 if quick else 5_000)[:count]
    bodies = [path.read_bytes() for path in files]
    for body in bodies[:50]:
        inspect(body)
    rates: dict[int, list[float]] = {threads: [] for threads in THREADS}
    for _ in range(repetitions):
        for threads in THREADS:
            rates[threads].append(_rate(bodies, threads))
    medians = {threads: statistics.median(many) for threads, many in rates.items()}
    kilobytes = sum(map(len, bodies)) / count / 1000
    return Result(
        title=f"Inspection of {count:,} JPEGs of {kilobytes:.0f} kB: one decode, all measures",
        columns=("threads", "images/s (median)", "spread", "ms an image and thread"),
        rows=[
            (
                str(threads),
                f"{medians[threads]:,.0f}",
                f"{min(many):,.0f} to {max(many):,.0f}",
                f"{1000 * threads / medians[threads]:.2f}",
            )
            for threads, many in rates.items()
        ],
        figures={"images": count, "images_per_second": {str(threads): many for threads, many in rates.items()}},
        notes=(f"{repetitions} repetitions, taking turns; bytes already in memory.",),
        versions=versions("simplejpeg", "opencv-python-headless", "numpy"),
    )


def _rate(bodies: list[bytes], threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for _ in pool.map(inspect, bodies):
            pass
        return len(bodies) / (time.perf_counter() - start)
