"""The decode floor: `gleanset.inspect` over files in memory, on one thread and on two."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2

from benchmarks.report import Result, versions
from benchmarks.web import pictures
from gleanset.inspect import inspect

THREADS = (1, 2)


def measure(*, quick: bool) -> Result:
    count, repetitions = (200, 1) if quick else (2_000, 5)
    files = pictures(500 if quick else 5_000)[:count]
    rates: dict[int, list[float]] = {threads: [] for threads in THREADS}
    for _ in range(repetitions):
        for threads in THREADS:
            rates[threads].append(count / seconds(files, threads))
    medians = {threads: statistics.median(many) for threads, many in rates.items()}
    kilobytes = sum(path.stat().st_size for path in files) / count / 1000
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


def seconds(files: list[Path], threads: int) -> float:
    """Time to inspect the files on so many threads and do nothing else; they are in memory before it begins."""
    cv2.setNumThreads(1)  # as the worker has it
    bodies = [path.read_bytes() for path in files]
    for body in bodies[:50]:
        inspect(body)
    left = iter(bodies)  # the threads draw from one iterator, which is all they have to do with each other
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for drawn in [pool.submit(_inspect_all, left) for _ in range(threads)]:
            drawn.result()
        return time.perf_counter() - start


def _inspect_all(bodies: Iterator[bytes]) -> None:
    for body in bodies:
        inspect(body)
