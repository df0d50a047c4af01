"""Groups of hashes that keep coming."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from gleanset.similar.connected import Connected
from gleanset.similar.hashes import BITS, DISTANCE, Columns, Given, Numbers, as_rows, mixed
from gleanset.similar.pieces import best_plan
from gleanset.similar.table import Table

_EXPECTED = 1 << 20
"""Hashes that the pieces are chosen for; fewer or more take a little longer than need be."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """Hashes from number `first` on, and their table for each piece that has one."""

    first: int
    columns: Columns
    tables: dict[int, Table]

    def __len__(self) -> int:
        return self.columns.shape[1]


class Index:
    """Near-duplicates among hashes that are added bit by bit.

    What is added is compared with all that is there, but costs time in proportion to itself: tables of what came before
    are kept, about 170 bytes a hash, and put together only when what came after has grown as large. For one thread at a
    time. Raises ValueError for a distance that would need all compared with all.
    """

    def __init__(self, distance: int = DISTANCE, *, threads: int | None = None) -> None:
        plan = best_plan(_EXPECTED, BITS, distance)
        if len(plan.pieces) == 1:
            raise ValueError(f"An index cannot look as far as {distance} bits.")
        self._plan = plan
        self._threads = threads or os.cpu_count() or 1
        self._segments: list[_Segment] = []
        self._connected = Connected(np.zeros(0, np.int64))

    def __len__(self) -> int:
        return sum(map(len, self._segments))

    def groups(self) -> Numbers:
        """For each hash the index of the first of its group, in the order in which they were added."""
        return self._connected.roots()

    def add(self, given: Given) -> Numbers:
        """For each hash that is added the index of the first of its group; this may connect groups from before."""
        rows = as_rows(given)
        start = len(self)
        if len(rows):
            self._connected.grow(len(rows))
            columns, _ = mixed(rows, alike_last=False)
            with ThreadPoolExecutor(self._threads) as pool:
                numbers = self._plan.leading_pieces()
                tables = pool.map(partial(self._connect, start, columns), numbers)
                self._segments.append(_Segment(start, columns, dict(zip(numbers, tables, strict=True))))
                while len(self._segments) > 1 and 2 * len(self._segments[-1]) >= len(self._segments[-2]):
                    self._put_together(pool, numbers)
        return self._connected.roots()[start:]

    def _connect(self, start: int, columns: Columns, number: int) -> Table:
        table = self._table(start, columns, number)
        for left, right, _ in table.own_pairs():
            self._connected.join(left, right)
        for segment in self._segments:
            other = segment.tables[number]
            small, large = (table, other) if columns.shape[1] <= len(segment) else (other, table)
            for left, right, _ in small.pairs_with(large):
                self._connected.join(left, right)
        return table

    def _table(self, first: int, columns: Columns, number: int) -> Table:
        return Table(self._plan, number, columns, first, self._connected)

    def _put_together(self, pool: ThreadPoolExecutor, numbers: list[int]) -> None:
        """Make one of the last two segments."""
        one, two = self._segments[-2:]
        columns = np.concatenate([one.columns, two.columns], axis=1)
        tables = pool.map(partial(self._table, one.first, columns), numbers)
        self._segments[-2:] = [_Segment(one.first, columns, dict(zip(numbers, tables, strict=True)))]
