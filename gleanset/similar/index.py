"""Hashes that keep coming: what is new is compared with all that is there, at a cost in proportion to what is new.

Segments of a log-structured tree: what is added makes a segment with its tables, and two segments are put together when
the later one has grown about as large, so that each hash is sorted anew only about as often as the whole has doubled.
Kept in a folder, a segment is a file that is never changed. `index` beside them names those that count.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from gleanset.similar.files import Damaged, read, remove_others, write
from gleanset.similar.hashes import BITS, DISTANCE, Columns, Given, Numbers, as_rows, distinct, mixed, mixing
from gleanset.similar.pieces import UNLIKE, all_with_all, best_plan
from gleanset.similar.table import Table

_VERSION = 1
_EXPECTED = 1 << 20
"""Hashes that the pieces are chosen for; fewer or more take a little longer than need be."""
_LOCK, _NAMES = "lock", "index"

Search = Iterator[tuple[Numbers, Numbers]]
"""Pairs of a query and a place, in arrays; a pair may come more than once."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What an owner has: the ids of its hashes. `mark` tells one state of it from another; empty: it may change."""

    owner: int
    mark: str
    ids: Numbers
    hashes: Given


@dataclass(frozen=True, slots=True)
class Entries:
    """`which` of the places that were asked for has this id and owner."""

    which: Numbers
    ids: Numbers
    owners: Numbers


@dataclass(slots=True)
class _Segment:
    """Different hashes, their tables, and from `begins[n]` on the ids and owners of those that have the n-th."""

    columns: Columns
    begins: NDArray[Any]
    ids: NDArray[Any]
    owners: NDArray[Any]
    tables: dict[int, Table]
    name: str = field(default_factory=lambda: f"{secrets.token_hex(8)}.segment")
    kept: bool = False

    def __len__(self) -> int:
        return self.columns.shape[1]


class Index:
    """Which hashes are near others, of those that owners have. For one thread at a time.

    `marks`: of the owners whose hashes are all here. An owner may be added again, in another state: what it had before
    stays, so whoever asks has to look whether an id that was found still has the hash.
    Raises ValueError for a distance that would need all compared with all.
    """

    def __init__(self, distance: int = DISTANCE, *, threads: int | None = None) -> None:
        self._plan = best_plan(_EXPECTED, BITS, distance)
        if len(self._plan.pieces) == 1:
            raise ValueError(f"An index cannot look as far as {distance} bits.")
        self._threads = threads or os.cpu_count() or 1
        self._segments: list[_Segment] = []
        self.marks: dict[int, str] = {}

    def __len__(self) -> int:
        """How many places it has: one for each hash of a segment."""
        return sum(map(len, self._segments))

    @classmethod
    def opened(cls, folder: Path, distance: int = DISTANCE, *, wait: bool = True) -> Self:
        """What is kept in the folder; nothing, where that is damaged or was made otherwise.

        Raises BlockingIOError when another process writes it and this one is not to wait.
        """
        index = cls(distance)
        try:
            with _locked(folder, fcntl.LOCK_SH, wait=wait):
                index._read(folder)
        except BlockingIOError:
            raise
        except (Damaged, OSError):
            pass
        return index

    @classmethod
    def extended(
        cls, folder: Path, batches: Sequence[Batch], distance: int = DISTANCE, *, anew: bool = False, wait: bool = True
    ) -> Self:
        """What is kept in the folder, with these added and kept. Other processes wait meanwhile. Raises OSError, like
        `opened` also when this one is not to wait.

        anew: what was kept is forgotten.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, fcntl.LOCK_EX, wait=wait):
            index = cls(distance)
            if not anew:
                with suppress(Damaged):
                    index._read(folder)
            index.add([batch for batch in batches if not batch.mark or index.marks.get(batch.owner) != batch.mark])
            index._write(folder)
        return index

    def add(self, batches: Sequence[Batch]) -> None:
        """Add what these owners have."""
        rows = [as_rows(batch.hashes) for batch in batches]
        if any(map(len, rows)):
            columns, _ = mixed(np.concatenate(rows), alike_last=False)
            ids = np.concatenate([batch.ids for batch in batches])
            owners = np.repeat([batch.owner for batch in batches], [len(each) for each in rows])
            self._segments.append(self._segment(columns, np.arange(len(ids)), ids, owners))
            while len(self._segments) > 1 and 2 * len(self._segments[-1].ids) >= len(self._segments[-2].ids):
                self._put_together()
        self.marks |= {batch.owner: batch.mark for batch in batches}

    def near(self, given: Given, distance: int) -> Search:
        """Which of these hashes lie within the distance of the hash of which place."""
        if distance > self._plan.distance:
            raise ValueError(f"This index looks no further than {self._plan.distance} bits.")
        rows = as_rows(given)
        if not len(rows) or not self._segments:
            return
        columns, _ = mixed(rows, alike_last=False)
        numbers = self._plan.leading_pieces()
        with ThreadPoolExecutor(self._threads) as pool:
            tables = list(pool.map(partial(self._table, columns), numbers))
            searches: list[Search] = [
                _near(table, other, first, distance)
                for first, segment in self._numbered()
                for table, other in self._to_compare(tables, segment)
            ]
            while searches:  # the first of them go on at once
                found = list(pool.map(_next, searches[: self._threads]))
                yield from (pair for pair in found if pair is not None)
                ended = {number for number, pair in enumerate(found) if pair is None}
                searches = [search for number, search in enumerate(searches) if number not in ended]

    def entries(self, places: Numbers) -> Entries:
        """Who has the hashes of these places, which come in order."""
        found: list[tuple[Numbers, ...]] = []
        for first, segment in self._numbered():
            low, high = np.searchsorted(places, [first, first + len(segment)])
            mine = places[low:high] - first
            counts = segment.begins[mine + 1] - segment.begins[mine]
            which = np.repeat(np.arange(len(mine)), counts)
            at = segment.begins[mine][which] + np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
            found.append((low + which, segment.ids[at], segment.owners[at]))
        return Entries(*(np.concatenate([np.zeros(0, np.int64), *each]) for each in zip(*found, strict=True)))

    def hashes(self, places: Numbers) -> NDArray[np.uint8]:
        """The hashes of these places, which come in order."""
        found = [np.zeros((0, BITS // 64), np.uint64)]
        for first, segment in self._numbered():
            low, high = np.searchsorted(places, [first, first + len(segment)])
            found.append(segment.columns[:, places[low:high] - first].T)
        bits = np.unpackbits(np.concatenate(found).view(np.uint8), axis=1, bitorder="little")
        given = np.empty_like(bits)
        given[:, mixing()] = bits
        return np.packbits(given, axis=1, bitorder="little")

    def _numbered(self) -> Iterator[tuple[int, _Segment]]:
        first = 0
        for segment in self._segments:
            yield first, segment
            first += len(segment)

    def _segment(self, columns: Columns, which: Numbers, ids: Numbers, owners: Numbers) -> _Segment:
        """`which`: of the columns' hashes each id has."""
        rows = np.ascontiguousarray(columns.T)
        first, alike = distinct(rows)
        which = alike[which]
        order = np.lexsort((ids, which))
        which, ids, owners = which[order], ids[order], owners[order]
        once = np.concatenate([[True], (which[1:] != which[:-1]) | (ids[1:] != ids[:-1])])
        begins = np.searchsorted(which[once], np.arange(len(first) + 1))
        columns = np.ascontiguousarray(columns[:, first])
        numbers = self._plan.leading_pieces()
        with ThreadPoolExecutor(self._threads) as pool:
            tables = dict(zip(numbers, pool.map(partial(self._table, columns), numbers), strict=True))
        return _Segment(columns, begins, ids[once], owners[once].astype(np.int32), tables)

    def _table(self, columns: Columns, number: int) -> Table:
        return Table(self._plan, number, columns, 0, None)

    def _to_compare(self, tables: Sequence[Table], segment: _Segment) -> list[tuple[Table, Table]]:
        """Tables with those of the segment, piece by piece. Where plain pictures make crowds, nothing may be better
        than all with all."""
        both = [(table, segment.tables[table.number]) for table in tables]
        columns = tables[0].columns
        if UNLIKE * sum(table.pairs_led_to(other) for table, other in both) < columns.shape[1] * len(segment):
            return both
        plan = all_with_all(BITS, self._plan.distance)
        return [(Table(plan, 0, columns, 0, None), Table(plan, 0, segment.columns, 0, None))]

    def _put_together(self) -> None:
        """Make one of the last two segments."""
        one, two = self._segments[-2:]
        columns = np.concatenate([one.columns, two.columns], axis=1)
        which = [np.repeat(np.arange(len(each)), np.diff(each.begins)) for each in (one, two)]
        ids, owners = np.concatenate([one.ids, two.ids]), np.concatenate([one.owners, two.owners])
        self._segments[-2:] = [self._segment(columns, np.concatenate([which[0], which[1] + len(one)]), ids, owners)]

    # ------------------------------------------------------------------------------------------------------ the folder

    @property
    def _kind(self) -> str:
        """What a file has to be of to be of any use."""
        told = f"{_VERSION} {sys.byteorder} {self._plan} {mixing().tolist()}"
        return hashlib.sha256(told.encode()).hexdigest()

    def _read(self, folder: Path) -> None:
        """Raises Damaged."""
        note, _ = read(folder / _NAMES)
        if note["kind"] != self._kind:
            raise Damaged(f"{folder} was made otherwise.")
        segments: list[_Segment] = []
        for name in note["segments"]:
            _, arrays = read(folder / name)
            columns = cast("Columns", arrays["columns"])
            tables = {n: Table.held(self._plan, n, columns, arrays) for n in self._plan.leading_pieces()}
            ids, owners, begins = arrays["ids"], arrays["owners"], arrays["begins"]
            segments.append(_Segment(columns, begins, ids, owners, tables, name, kept=True))
        self._segments, self.marks = segments, {int(owner): mark for owner, mark in note["marks"].items()}

    def _write(self, folder: Path) -> None:
        """First the new segments, then what names them. Raises OSError."""
        for segment in self._segments:
            if not segment.kept:
                arrays: Mapping[str, NDArray[Any]] = {
                    "columns": segment.columns,
                    "begins": segment.begins,
                    "ids": segment.ids,
                    "owners": segment.owners,
                }
                for table in segment.tables.values():
                    arrays = {**arrays, **table.arrays()}
                write(folder / segment.name, {}, arrays)
                segment.kept = True
        names = [segment.name for segment in self._segments]
        write(folder / _NAMES, {"kind": self._kind, "segments": names, "marks": self.marks}, {})
        remove_others(folder, [*names, _NAMES, _LOCK])


def _near(table: Table, other: Table, first: int, distance: int) -> Search:
    queries = table.columns.shape[1]
    other = other.numbered_from(queries)  # so that one tells which of a pair is which
    small, large = (table, other) if queries <= other.columns.shape[1] else (other, table)
    for query, place, apart in small.pairs_with(large):
        kept = apart <= distance
        yield query[kept], place[kept] - queries + first


def _next(search: Search) -> tuple[Numbers, Numbers] | None:
    return next(search, None)


@contextmanager
def _locked(folder: Path, how: int, *, wait: bool) -> Generator[None]:
    """Raises OSError, also where there is no such folder; BlockingIOError for who is not to wait."""
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, how if wait else how | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
