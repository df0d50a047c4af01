"""An index that is kept in a folder, held to comparing all with all, and to costs in proportion to what is new."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gleanset.similar import Batch, Index
from gleanset.similar.table import Table
from tests.engine.test_similar import KINDS, Hashes, Random, distances, flipped, planted, random

Cuts = Sequence[int]


def batches(hashes: Hashes, cuts: Cuts, mark: str = "all") -> list[Batch]:
    """An owner for each part; ids are those of the whole, with gaps."""
    numbers = np.arange(len(hashes)) * 3
    return [Batch(n, mark, numbers[a:b], hashes[a:b]) for n, (a, b) in enumerate(pairwise(cuts))]


def found(index: Index, queries: Hashes, distance: int) -> set[tuple[int, int]]:
    """Which query is near which id; what is said of each place is looked at too."""
    pairs = [np.array(pair).reshape(2, -1) for pair in index.near(queries, distance)]
    if not pairs:
        return set()
    near = np.unique(np.concatenate(pairs, axis=1), axis=1)
    places = np.unique(near[1])
    entries = index.entries(places)
    hashes = index.hashes(places)
    of: dict[int, list[int]] = {int(place): [] for place in places}
    for which, number in zip(entries.which, entries.ids, strict=True):
        of[int(places[which])].append(int(number))
    there = hashes[np.searchsorted(places, near[1])]
    assert np.bitwise_count(queries[near[0]] ^ there).sum(axis=1).max(initial=0) <= distance
    return {(query, number) for query, place in near.T.tolist() for number in of[place]}


def expected(hashes: Hashes, queries: Hashes, distance: int) -> set[tuple[int, int]]:
    apart = distances(np.concatenate([hashes, queries]))[len(hashes) :, : len(hashes)]
    return {(int(query), 3 * int(number)) for query, number in zip(*np.nonzero(apart <= distance), strict=True)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("far", "distance"), [(31, 31), (31, 0), (31, 12), (64, 64), (64, 40)])
def test_it_finds_what_comparing_all_with_all_finds(
    kind: Callable[[Random, int], Hashes], far: int, distance: int, tmp_path: Path
) -> None:
    hashes = kind(np.random.default_rng(distance), 900)
    queries, stored = hashes[::3], np.delete(hashes, np.s_[::3], axis=0)[:600]
    want = expected(stored, queries, distance)
    in_memory = Index(far)
    folder = tmp_path / "index"
    for batch in batches(stored, [0, 0, 1, 300, 310, 320, 500, 600]):
        in_memory.add([batch])
        Index.extended(folder, [batch], far)
    assert found(in_memory, queries, distance) == want
    kept = Index.opened(folder, far)
    assert kept.marks == in_memory.marks == dict.fromkeys(range(7), "all")
    assert found(kept, queries, distance) == want
    assert found(kept, queries[:1], distance) == {pair for pair in want if pair[0] == 0}
    assert found(kept, queries[:0], distance) == found(Index(far), queries, distance) == set()


def test_what_an_owner_has_again_is_there_once_and_what_it_had_stays(tmp_path: Path) -> None:
    """Rows may have changed: who asks has to look. They do not pile up while a job grows."""
    hashes = planted(np.random.default_rng(2), 400)[:400]
    numbers = np.arange(400)
    for size in range(100, 401, 20):
        index = Index.extended(tmp_path, [Batch(7, "", numbers[:size], hashes[:size])])
    assert index.marks == {7: ""}
    assert len(index) <= 2 * 400
    changed = flipped(np.random.default_rng(3), hashes, 9)
    index = Index.extended(tmp_path, [Batch(7, "ended", numbers, changed)])
    again = Index.extended(tmp_path, [Batch(7, "ended", numbers + 1000, changed)])  # a process that was as fast
    for each in (index, again, Index.opened(tmp_path)):
        assert each.marks == {7: "ended"}
        for some in (hashes, changed):
            assert {(n, n) for n in range(400)} <= found(each, some, 0)
        assert max(number for _, number in found(each, hashes, 0)) < 400


def test_many_equal_hashes_are_one_place() -> None:
    index = Index()
    index.add([Batch(1, "", np.arange(50_000), np.zeros((50_000, 32), np.uint8))])
    index.add([Batch(2, "", np.arange(50_000, 60_000), np.zeros((10_000, 32), np.uint8))])
    assert len(index) == 2
    pairs = [pair for pair in index.near(np.zeros((3, 32), np.uint8), 31) if len(pair[0])]
    assert {(int(q), int(p)) for which, places in pairs for q, p in zip(which, places, strict=True)} == {
        (query, place) for query in range(3) for place in range(2)
    }
    entries = index.entries(np.array([0, 1]))
    assert len(entries.ids) == len(set(entries.ids.tolist())) == 60_000
    assert np.array_equal(entries.owners == 2, entries.ids >= 50_000)
    assert np.array_equal(entries.which == 1, entries.ids >= 50_000)


def test_what_is_new_is_compared_and_written_at_a_cost_in_proportion_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = random(np.random.default_rng(4), 60_000)
    Index.extended(tmp_path, [Batch(1, "all", np.arange(60_000), stored)])
    large = {path: path.stat() for path in tmp_path.glob("*.segment")}
    compared: list[int] = []
    sorted_: list[int] = []
    block, make = Table._block, Table.__init__

    def counting(self: Table, other: Table, left: NDArray[np.int64], *rest: object, **more: object) -> object:
        compared[-1] += len(left)
        return block(self, other, left, *rest, **more)  # type: ignore[arg-type]

    def making(self: Table, plan: object, number: int, columns: NDArray[np.uint64], *rest: object) -> None:
        sorted_[-1] += columns.shape[1]
        make(self, plan, number, columns, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "_block", counting)
    monkeypatch.setattr(Table, "__init__", making)
    sizes = [100, 200, 400, 800]
    for number, size in enumerate(sizes, 2):
        compared.append(0)
        sorted_.append(0)
        queries = random(np.random.default_rng(100 + number), size)
        assert not found(Index.opened(tmp_path), queries, 31)
        assert sorted_[-1] == 16 * size
    for few, many in pairwise(compared):
        assert 1.7 < many / few < 2.3
    for number, size in enumerate(sizes, 2):
        sorted_.append(0)
        ids = np.arange(size) + 10**6 * number
        Index.extended(tmp_path, [Batch(number, "all", ids, random(np.random.default_rng(100 + number), size))])
        assert sorted_[-1] <= 16 * 2 * sum(sizes)
    assert sum(sorted_[len(sizes) :]) < 16 * 60_000 // 5
    assert all(path.stat() == was for path, was in large.items())  # neither written nor replaced
    assert len(Index.opened(tmp_path)) == 60_000 + sum(sizes)


@pytest.mark.parametrize(
    "harm",
    ["turned", "cut", "emptied", "gone", "names turned", "names cut", "names gone", "nonsense", "folder for a file"],
)
def test_what_is_damaged_counts_as_nothing_and_is_made_anew(harm: str, tmp_path: Path) -> None:
    hashes = planted(np.random.default_rng(5), 300)[:300]
    made = batches(hashes, [0, 250, 300])
    for batch in made:
        Index.extended(tmp_path, [batch])
    names, segment = tmp_path / "index", next(iter(tmp_path.glob("*.segment")))
    file = names if "names" in harm else segment
    data = bytearray(file.read_bytes())
    match harm.removeprefix("names "):
        case "turned":
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
        case "cut":
            file.write_bytes(data[:-40])
        case "emptied":
            file.write_bytes(b"")
        case "gone":
            file.unlink()
        case "nonsense":
            names.write_bytes(b"gleanset" + bytes(200))
        case _:
            file.unlink()
            file.mkdir()
            file.rmdir()
    opened = Index.opened(tmp_path)
    assert (len(opened), opened.marks) == (0, {})
    again = Index.extended(tmp_path, made)
    want = expected(hashes, hashes[:40], 31)
    assert found(again, hashes[:40], 31) == want
    assert found(Index.opened(tmp_path), hashes[:40], 31) == want


def test_every_bit_counts(tmp_path: Path) -> None:
    Index.extended(tmp_path, batches(random(np.random.default_rng(5), 3), [0, 3]))
    rng = np.random.default_rng(6)
    for file in (tmp_path / "index", next(iter(tmp_path.glob("*.segment")))):
        data = file.read_bytes()
        for place in {0, 8, 9, 16, 17, 19, 20, len(data) - 1, *rng.integers(0, len(data), 40).tolist()}:
            file.write_bytes(data[:place] + bytes([data[place] ^ (1 << int(rng.integers(8)))]) + data[place + 1 :])
            assert len(Index.opened(tmp_path)) == 0, place
        file.write_bytes(data)
    assert len(Index.opened(tmp_path)) == 3


def test_what_was_made_for_another_distance_is_not_used(tmp_path: Path) -> None:
    Index.extended(tmp_path, batches(random(np.random.default_rng(7), 30), [0, 30]), 31)
    assert len(Index.opened(tmp_path, 64)) == 0
    Index.extended(tmp_path, [], 64)
    assert len(Index.opened(tmp_path, 31)) == 0
    assert [path.name for path in tmp_path.glob("*.segment")] == []
    with pytest.raises(ValueError, match="no further than 31"):
        next(iter(Index(31).near(random(np.random.default_rng(7), 3), 32)))
    with pytest.raises(ValueError, match="as far as 200 bits"):
        Index(200)


ADDING = """
import sys
from pathlib import Path
import numpy as np
from gleanset.similar import Batch, Index
folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for owner in range(first, first + count):
    hashes = np.random.default_rng(owner).integers(0, 256, (40, 32), dtype=np.uint8)
    Index.extended(folder, [Batch(owner, "all", np.arange(40) + 100 * owner, hashes)])
    print(owner, flush=True)
"""


def adding(folder: Path, first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ADDING, str(folder), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def has(index: Index) -> set[int]:
    """The owners all of whose hashes are found with their ids."""
    there: set[int] = set()
    for owner in index.marks:
        hashes = np.random.default_rng(owner).integers(0, 256, (40, 32), dtype=np.uint8)
        if {(n, n + 100 * owner) for n in range(40)} <= found(index, hashes, 31):
            there.add(owner)
    return there


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    workers = [adding(tmp_path, first, 8) for first in (100, 200, 300)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    index = Index.opened(tmp_path)
    assert has(index) == {first + n for first in (100, 200, 300) for n in range(8)}
    names = {path.name for path in tmp_path.iterdir()} - {"index", "lock"}
    assert names == {path.name for path in tmp_path.glob("*.segment")}
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.close()


def test_who_is_killed_while_writing_leaves_what_was_added_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    told: set[int] = set()
    for turn in range(10):
        worker = adding(tmp_path, 1000 * turn, 1000)
        assert worker.stdout is not None
        told.add(int(worker.stdout.readline()))  # it has begun
        time.sleep(float(rng.uniform(0, 0.15)))
        os.kill(worker.pid, signal.SIGKILL)
        told |= {int(line) for line in worker.stdout.read().splitlines() if line}
        worker.wait()
        worker.stdout.close()
        index = Index.opened(tmp_path)
        assert has(index) == set(index.marks)
        assert told <= set(index.marks)
        assert len(set(index.marks) - told) <= turn + 1  # it may have been killed before it could tell
    Index.extended(tmp_path, [])
    names = {path.name for path in tmp_path.iterdir()} - {"index", "lock"}
    assert len(names) < 12
    assert not any(name.startswith(".") for name in names)
