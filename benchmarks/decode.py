"""The decode floor: `gleanset.inspect` over files in memory, in one process and in two."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import cv2

from benchmarks.report import Result, versions
from benchmarks.web import pictures
from gleanset.inspect import inspect

PROCESSES = (1, 2)


def measure(*, quick: bool) -> Result:
    count, repetitions = (200, 1) if quick else (2_000, 5)
    files = pictures(500 if quick else 5_000)[:count]
    rates: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    for _ in range(repetitions):
        for processes in PROCESSES:
            rates[processes].append(count / seconds(files, processes))
    medians = {processes: statistics.median(many) for processes, many in rates.items()}
    kilobytes = sum(path.stat().st_size for path in files) / count / 1000
    return Result(
        title=f"Inspection of {count:,} JPEGs of {kilobytes:.0f} kB: one decode, all measures",
        columns=("processes", "images/s (median)", "spread", "ms an image and process"),
        rows=[
            (
                str(processes),
                f"{medians[processes]:,.0f}",
                f"{min(many):,.0f} to {max(many):,.0f}",
                f"{1000 * processes / medians[processes]:.2f}",
            )
            for processes, many in rates.items()
        ],
        figures={"images": count, "images_per_second": {str(processes): many for processes, many in rates.items()}},
        notes=(f"{repetitions} repetitions, taking turns; bytes already in memory.",),
        versions=versions("simplejpeg", "opencv-python-headless", "numpy"),
    )


def seconds(files: list[Path], processes: int) -> float:
    """Time to inspect the files in so many processes, which have them in memory before and do nothing else."""
    fresh = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = [
            stack.enter_context(ProcessPoolExecutor(1, fresh, initializer=_load, initargs=(files[number::processes],)))
            for number in range(processes)
        ]
        for pool in pools:
            pool.submit(_inspect, 50).result()
        start = time.perf_counter()
        for running in [pool.submit(_inspect, None) for pool in pools]:
            running.result()
        return time.perf_counter() - start


_bodies: list[bytes] = []


def _load(files: list[Path]) -> None:
    cv2.setNumThreads(1)  # as a decoder has it
    _bodies.extend(path.read_bytes() for path in files)


def _inspect(most: int | None) -> None:
    for body in _bodies[:most]:
        inspect(body)
