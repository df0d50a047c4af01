"""`python -m tests.fuzz [--first SEED] [--count N]`: mutated files of every format against `inspect`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.mutate import mutated
from tests.fuzz.run import Bounds, Report, run

STEP = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="where to begin, or to go on (0)")
    parser.add_argument("--count", type=int, default=100_000, metavar="N", help="how many seeds (100000)")
    parser.add_argument("--seconds", type=float, default=1.0, help="processor seconds an input may take (1)")
    parser.add_argument("--memory", type=int, default=256, metavar="MB", help="memory an input may take (256)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the first seed's input, and try nothing")
    options = parser.parse_args()
    if options.write:
        options.write.write_bytes(mutated(options.first))
        return
    bounds = Bounds(seconds=options.seconds, memory=options.memory * 1_000_000)
    faults, stop, began = 0, options.first + options.count, time.monotonic()
    for first in range(options.first, stop, STEP):
        report = run(first, min(first + STEP, stop), bounds)
        show(first, report, time.monotonic() - began)
        faults += len(report.faults)
    if faults:
        sys.exit(f"{faults} inputs did what they must not. Each comes again with --first SEED --count 1.")


def show(first: int, report: Report, seconds: float) -> None:
    told = ", ".join(f"{outcome} {count}" for outcome, count in sorted(report.outcomes.items()))
    slowest, seed = report.slowest
    print(f"{first}..{first + report.tried - 1} after {seconds:.0f} s: {told}; slowest {slowest:.3f} s (seed {seed})")
    for seed, fault in report.faults.items():
        print(f"seed {seed}: {fault}", file=sys.stderr)


if __name__ == "__main__":
    main()
