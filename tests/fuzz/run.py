"""Drives workers over a range of seeds, and names each seed that killed, hung, slowed or swelled one."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import IO

TARGET = "tests.fuzz.worker:inspect_mutated"
STARTING = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one input may cost: processor seconds, and bytes of memory above a worker that has done nothing yet."""

    seconds: float = 1.0
    memory: int = 256_000_000
    hang: float = 30.0


@dataclass(slots=True)
class Report:
    """`faults`: what each seed did that it must not."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, -1)


def run(first: int, stop: int, bounds: Bounds = Bounds(), target: str = TARGET) -> Report:
    """Try all seeds; a worker that dies is replaced by one that goes on behind the seed it died of."""
    report = Report()
    while first < stop:
        first = _one_worker(first, stop, bounds, target, report)
    return report


def _one_worker(first: int, stop: int, bounds: Bounds, target: str, report: Report) -> int:
    """The seed with which the next worker has to go on."""
    command = [sys.executable, "-m", "tests.fuzz.worker", target, str(first), str(stop), str(bounds.memory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        assert worker.stdout is not None
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_forward, args=(worker.stdout, lines), daemon=True).start()
        seed = None
        try:
            while line := lines.get(timeout=bounds.hang if seed is not None else STARTING):
                if line.startswith("{"):
                    _take(report, int(seed or 0), json.loads(line), bounds)
                    first, seed = int(seed or 0) + 1, None
                else:
                    seed = int(line)
        except queue.Empty:
            worker.kill()
            if seed is None:
                raise RuntimeError(f"A worker did not start within {STARTING:.0f} seconds.") from None
            report.faults[seed] = f"no answer within {bounds.hang:g} seconds"
        code = worker.wait()
    if seed is None:
        if code:
            raise RuntimeError(f"A worker ended with {code} between two seeds: run it by hand: {' '.join(command)}")
        return first
    report.faults.setdefault(seed, f"killed the process: {_named(code)}")
    report.tried += 1
    return seed + 1


def _forward(output: IO[str], lines: queue.SimpleQueue[str]) -> None:
    for line in output:
        lines.put(line)
    lines.put("")


def _named(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _take(report: Report, seed: int, told: dict[str, object], bounds: Bounds) -> None:
    report.tried += 1
    seconds = float(str(told["seconds"]))
    report.slowest = max(report.slowest, (seconds, seed))
    if told["fault"]:
        report.faults[seed] = str(told["fault"])
    elif told["over"]:
        report.faults[seed] = f"took more than {bounds.memory:,} bytes of memory"
    elif seconds > bounds.seconds:
        report.faults[seed] = f"took {seconds:.2f} s, more than {bounds.seconds:g} s"
    else:
        report.outcomes[str(told["outcome"])] += 1
