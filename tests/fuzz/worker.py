"""Tries seeds one after the other in a process that may die of it: `python -m tests.fuzz.worker TARGET FIRST STOP MB`.

Before each seed its number goes to standard output, so that the other side knows what killed this process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
import warnings
from importlib import import_module
from pathlib import Path

from gleanset.errors import GleansetError
from gleanset.inspect import InspectLimits, inspect
from tests.fuzz.mutate import corpus, mutated

LIMITS = InspectLimits(max_pixels=1_000_000)
# Decoders may reserve for the largest canvas that Pillow lets pass, and never touch it.
RESERVED = 4 << 30


def inspect_mutated(seed: int) -> str:
    """The outcome in a word; whatever is not of the engine's own errors comes out."""
    data = mutated(seed)
    try:
        inspect(data, LIMITS)
    except GleansetError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from None
        return str(getattr(error, "reason", type(error).__name__))
    return "accepted"


def resident() -> int:
    """The most bytes that this process ever had in memory; getrusage would count what its parent had, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main(target: str, first: int, stop: int, memory: int) -> None:
    module, _, name = target.partition(":")
    attempt = getattr(import_module(module), name)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    corpus()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (RESERVED, hard))
    cap = resident() + memory
    for seed in range(first, stop):
        print(seed, flush=True)
        began = time.thread_time()
        outcome, fault = "", ""
        try:
            outcome = attempt(seed)
        except Exception:
            fault = traceback.format_exc()
        used = time.thread_time() - began
        grown = resident() > cap
        print(json.dumps({"outcome": outcome, "fault": fault, "seconds": used, "over": grown}), flush=True)
        if grown:  # the mark stays up, so the next seed needs a new process
            return


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
