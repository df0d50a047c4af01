"""`search_hashes.py TOOL FILE QUERIES`: near-duplicates among the hashes of a .npy file by one tool, as JSON.

Each tool is run by the Python of the environment that has it. `seconds` are those of the search alone: hashes are in
memory, and libraries imported, before the clock runs. Tools that compare all with all look for the neighbours of the
first QUERIES hashes only.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

DISTANCE = 31
Found = tuple[float, int]
"""Seconds, and what was found in them."""


def gleanset(hashes: Any, _: int) -> Found:
    from gleanset.similar import groups

    groups(hashes[:1000])
    start = time.perf_counter()
    found = groups(hashes, DISTANCE)
    return time.perf_counter() - start, len(hashes) - len(np.unique(found))


def index(hashes: Any, queries: int) -> Found:
    """Finds what of the last QUERIES hashes is near one of an index of all others, and adds them to it."""
    from gleanset.similar import Batch, Index

    numbers = np.arange(len(hashes))
    with TemporaryDirectory() as name:
        folder = Path(name)
        Index.extended(folder, [Batch(1, "all", numbers[:-queries], hashes[:-queries])], DISTANCE)
        start = time.perf_counter()
        near = [which for which, _ in Index.opened(folder, DISTANCE).near(hashes[-queries:], DISTANCE)]
        Index.extended(folder, [Batch(2, "all", numbers[-queries:], hashes[-queries:])], DISTANCE)
        seconds = time.perf_counter() - start
    return seconds, len(np.unique(np.concatenate([np.zeros(0, np.int64), *near])))


def faiss(hashes: Any, queries: int) -> Found:
    import faiss as library

    flat = library.IndexBinaryFlat(256)
    flat.add(hashes)
    start = time.perf_counter()
    bounds, _, _ = flat.range_search(hashes[:queries], DISTANCE + 1)  # it wants less than that
    return time.perf_counter() - start, int(bounds[-1]) - queries


def imagededup(hashes: Any, queries: int) -> Found:
    """Its default search, over hashes of 64 bits, which is all that its methods make."""
    from without_torch import open_packages

    open_packages()
    from imagededup.handlers.search.retrieval import HashEval

    names = {f"{n}.jpg": row[:8].tobytes().hex() for n, row in enumerate(hashes)}
    some = dict(list(names.items())[:queries])
    start = time.perf_counter()
    done = HashEval(test=names, queries=some, distance_function=_unused, verbose=False, threshold=10)
    return time.perf_counter() - start, sum(map(len, done.retrieve_results().values()))


def cleanvision(hashes: Any, _: int) -> Found:
    """What its duplicate manager does with its hashes of 64 bits: it puts together those that are equal."""
    import pandas
    from cleanvision.issue_managers.duplicate_issue_manager import DuplicateIssueManager

    names = [row[:8].tobytes().hex() for row in hashes]
    manager = DuplicateIssueManager()
    manager.issue_types = ["near_duplicates"]
    start = time.perf_counter()
    same: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        same.setdefault(name, []).append(number)
    manager.issues = pandas.DataFrame(index=range(len(names)))
    manager._update_info(manager.issue_types, {"near_duplicates": same}, {"exact_duplicates": {"sets": []}})
    manager._update_issues()
    manager._update_summary()
    return time.perf_counter() - start, manager.info["near_duplicates"]["num_sets"]


def _unused(*_: Any) -> int:
    raise AssertionError("its compiled search has a distance of its own")


def main() -> None:
    tool, file, queries = sys.argv[1:]
    hashes = np.load(file)
    seconds, found = {each.__name__: each for each in (gleanset, index, faiss, imagededup, cleanvision)}[tool](
        hashes, int(queries)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "found": found, "peak": peak}))


if __name__ == "__main__":
    main()
