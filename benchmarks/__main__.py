"""`python -m benchmarks [--quick] [NAME ...]`"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

from benchmarks.report import Result, Skipped, keep, show
from benchmarks.web import remove_scratch

MODULES = {
    "inspect": "decode",
    "commit": "commit",
    "crawl": "crawl",
    "resize": "resize",
    "growth": "growth",
    "processes": "processes",
    "memory": "memory",
    "judge": "judge",
    "lists": "lists",
    "start": "start",
    "followers": "followers",
    "similar": "similar",
    "copies": "copies",
    "cleanvision": "cleanvision",
    "export": "export",
}
NAMES = tuple(MODULES)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Gleanset on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(NAMES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, one repetition, results only printed")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    try:
        for name in options.names or NAMES:
            _run(name, quick=options.quick)
    finally:
        remove_scratch()


def _run(name: str, *, quick: bool) -> None:
    measure: Callable[..., Result] = import_module(f"benchmarks.{MODULES[name]}").measure
    try:
        result = measure(quick=quick)
    except Skipped as why:
        print(f"{name} is skipped: {why}")
        return
    show(result)
    if not quick:
        keep(name, result)


if __name__ == "__main__":
    main()
