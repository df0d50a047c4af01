"""Grouping of near-duplicates among 100,000 and a million hashes, beside comparing all with all, and other tools."""

from __future__ import annotations

import json
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.contestants import environment, finished
from benchmarks.report import Result, versions
from benchmarks.web import scratch

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "benchmarks" / "peers" / "search_hashes.py"
MOST_TURNED = 40
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class _Contestant:
    """`queries`: None looks for all; else so many, and the figure is scaled up to all, unless it is what was added.

    `kind`: of hashes, by what sets them apart; none for ordinary ones.
    """

    name: str
    tool: str
    size: int
    queries: int | None = None
    scaled: bool = True
    kind: str = ""


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    peak: int
    found: int


def measure(*, quick: bool) -> Result:
    small, large, repetitions = (5_000, 20_000, 1) if quick else (100_000, 1_000_000, 3)
    ours, theirs = "gleanset.similar.groups", "faiss.IndexBinaryFlat.range_search"
    contestants = (
        _Contestant(ours, "gleanset", small),
        _Contestant(theirs, "faiss", small, small // 10),
        _Contestant("imagededup, brute_force_cython", "imagededup", small, small // 200),
        _Contestant("CleanVision, equal hashes", "cleanvision", small),
        _Contestant(ours, "gleanset", large),
        _Contestant(theirs, "faiss", large, large // 100),
        _Contestant("gleanset.similar.Index of 99%, asked for 1%", "index", large, large // 100, scaled=False),
        *(
            _Contestant(name, tool, small, queries, kind=kind)
            for kind in PLAIN
            for name, tool, queries in ((ours, "gleanset", None), (theirs, "faiss", small // 10))
        ),
    )
    runs: dict[_Contestant, list[_Run]] = {each: [] for each in contestants}
    with scratch() as folder:
        files = {(each.size, each.kind): folder / f"{each.size} {each.kind}.npy" for each in contestants}
        for (size, kind), file in files.items():
            np.save(file, PLAIN[kind](size) if kind else hashes(size))
        for _ in range(repetitions):
            for each in contestants:
                runs[each].append(_run(each, files[each.size, each.kind]))
    seconds = {each: statistics.median(run.seconds for run in many) for each, many in runs.items()}
    best = {(each.size, each.kind): seconds[each] for each in contestants if each.tool == "gleanset"}
    return Result(
        title=f"Near-duplicates: 256-bit hashes within {31} bits of each other",
        columns=("search", "hashes", "seconds", "spread", "gleanset is faster by", "peak MB"),
        rows=[_row(each, seconds[each], best[each.size, each.kind], many) for each, many in runs.items()],
        figures={
            f"{each.tool} {each.size} {each.kind}".rstrip(): {
                "seconds": [run.seconds for run in many],
                "peak": max(run.peak for run in many),
                "found": many[0].found,
                "scaled_from": each.queries if each.scaled else None,
            }
            for each, many in runs.items()
        },
        notes=(
            f"{repetitions} repetitions, taking turns, each a process of its own; medians. Hashes are in memory before "
            "the clock runs; peak is of the whole process, Python and libraries with it.",
            f"One hash in ten is a copy of another with up to {MOST_TURNED} bits turned, the others are random.",
            "The hashes of the last rows are like those of plain pictures: 80 bits vary, the others are the same; or "
            "one bit in ten is set.",
            f"Comparing all with all grows with the square, so it was measured on a part: faiss on {small // 10:,} "
            f"queries of {small:,} and {large // 100:,} of {large:,}, imagededup on {small // 200:,}; times are scaled "
            "up. It finds pairs; that gleanset also makes groups of them is in its time.",
            "imagededup and CleanVision know hashes of 64 bits only. imagededup compares them at 10 bits, its default; "
            "CleanVision finds only those that are equal.",
            f"Index: opened on files of all but {large // 100:,}, asked for what is near these, then given them.",
        ),
        versions=versions("numpy") | peers.versions("faiss-cpu", "imagededup", "cleanvision", name="peers-similar"),
    )


def hashes(count: int) -> NDArray[np.uint8]:
    """Random ones, the last tenth copies of others with some bits turned."""
    random = np.random.default_rng(count)
    rows = random.integers(0, 256, (count, 32), dtype=np.uint8)
    copies = count // 10
    turned = np.zeros((copies, 256), np.uint8)
    turned[np.arange(256) < random.integers(0, MOST_TURNED + 1, copies)[:, None]] = 1
    turned = random.permuted(turned, axis=1)
    rows[-copies:] = rows[random.integers(0, count - copies, copies)] ^ np.packbits(turned, axis=1)
    return random.permutation(rows)


def _few_bits(count: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(count)
    rows = np.zeros((count, 32), np.uint8)
    rows[:, :10] = random.integers(0, 256, (count, 10), dtype=np.uint8)
    return rows


def _rarely_set(count: int) -> NDArray[np.uint8]:
    bits = np.random.default_rng(count).random((count, 256)) < 0.1
    return np.packbits(bits.astype(np.uint8), axis=1)


PLAIN = {"of 80 bits": _few_bits, "with few bits set": _rarely_set}


def _run(contestant: _Contestant, file: Path) -> _Run:
    own = contestant.tool in {"gleanset", "index"}
    python = sys.executable if own else str(peers.programs("peers-similar") / "python")
    around = environment() | ({"PYTHONPATH": str(ROOT)} if own else {"OMP_NUM_THREADS": str(os.cpu_count())})
    queries = contestant.queries or contestant.size
    told: dict[str, Any] = json.loads(
        finished([python, str(SCRIPT), contestant.tool, str(file), str(queries)], around).splitlines()[-1]
    )
    scale = contestant.size / queries if contestant.scaled else 1
    return _Run(told["seconds"] * scale, told["peak"], told["found"])


def _row(contestant: _Contestant, seconds: float, ours: float, many: list[_Run]) -> tuple[str, ...]:
    comparable = contestant.tool != "index"
    every = [run.seconds for run in many]
    return (
        contestant.name,
        f"{contestant.size:,} {contestant.kind}".rstrip(),
        f"{seconds:,.2f}",
        f"{min(every):,.2f} to {max(every):,.2f}",
        f"{seconds / ours:,.1f}" if comparable else "",
        f"{max(run.peak for run in many) / MEGABYTE:,.0f}",
    )
