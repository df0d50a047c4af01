"""All with all, for hashes that pieces do not tell apart: those of plain pictures, most of whose bits are alike.

Each is compared with a few others first, which connects most of a crowd; what hangs together is not compared again.
The rest is told apart by half of the words, where that does: if a word is joined to another one by XOR, no more of its
bits differ than differed in the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from gleanset.similar.connected import Connected
from gleanset.similar.hashes import Columns, Numbers, near

_ROWS, _WIDTH = 16, 4096
"""Of a block: its counts stay in a core's cache, and numpy has long runs."""
_AT_ONCE = 128
"""Rows that a thread takes."""
_TIMES = 32
"""So often it is seen anew what hangs together by now."""
_DEARER = 100
"""Times what a pair of a block costs: one that is picked to see whether a hash belongs to a crowd."""
_MANY = 32
"""One pair in so many that half of the words do not tell apart makes all of them cheaper."""
_ENOUGH = 1 << 12
"""Pairs that are worth to be compared in full."""


def connect_all(columns: Columns, distance: int, connected: Connected, threads: int) -> None:
    """Join all that are within the distance."""
    order = np.random.default_rng(0).permutation(columns.shape[1])
    columns = columns[:, order]
    _join_crowds(columns, order, distance, connected)
    at_once = -(-len(order) // _TIMES // _AT_ONCE) * _AT_ONCE
    with ThreadPoolExecutor(threads) as pool:
        while len(order):
            roots = connected.roots()[order]
            if (roots == roots[0]).all():
                return
            together = np.lexsort((roots, np.bincount(roots)[roots]))  # crowds last: who joins them is through
            columns, order = columns[:, together], order[together]
            rest = _Rest(columns, order, roots[together], distance, connected)
            list(pool.map(rest.join, range(0, min(at_once, len(order)), _AT_ONCE)))
            columns, order = columns[:, at_once:], order[at_once:]


def _join_crowds(columns: Columns, numbers: Numbers, distance: int, connected: Connected) -> None:
    """Compare each with others by chance, as long as so many of the pairs are near that it is cheaper than blocks."""
    size = len(numbers)
    random = np.random.default_rng(1)
    while size > 1:
        step = int(random.integers(1, size // 2 + 1))
        roots = connected.roots()[numbers]
        apart = np.flatnonzero(roots[:-step] != roots[step:])
        kept, _ = near(columns[:, apart], columns[:, apart + step], distance)
        connected.join(numbers[apart[kept]], numbers[apart[kept] + step])
        if len(kept) * size <= len(apart) * _DEARER:
            return


class _Rest:
    """Hashes in the order of their `roots`: what hangs together lies side by side."""

    def __init__(self, columns: Columns, numbers: Numbers, roots: Numbers, distance: int, connected: Connected) -> None:
        self._columns, self._numbers, self._distance, self._connected = columns, numbers, distance, connected
        ends = np.append(np.flatnonzero(roots[1:] != roots[:-1]) + 1, len(roots))
        self._ends = np.repeat(ends, np.diff(ends, prepend=0))
        half = len(columns) // 2
        self._halves = columns[:half] ^ columns[half:]

    def join(self, first: int) -> None:
        """Connect so many rows with what comes behind them."""
        block = _Block()
        found: list[tuple[Numbers, Numbers]] = []
        waiting = 0
        for start in range(first, min(first + _AT_ONCE, len(self._numbers)), _ROWS):
            for left, right in self._told_apart(start, block):
                found.append((left, right))
                waiting += len(left)
                if waiting > _ENOUGH:
                    self._join(found)
                    found, waiting = [], 0
        self._join(found)

    def _told_apart(self, start: int, block: _Block) -> Iterator[tuple[Numbers, Numbers]]:
        """Of some rows and what comes behind them all pairs that are near, and some that are not."""
        size = len(self._numbers)
        rows = slice(start, min(start + _ROWS, size))
        begin = int(self._ends[start])
        if begin < rows.stop:  # the rows do not all hang together
            begin = start
        words = self._halves
        for at in range(begin, size, _WIDTH):
            few = block.counted(words, rows, slice(at, min(at + _WIDTH, size))) <= self._distance
            found = np.count_nonzero(few)
            if found:
                row, place = np.divmod(np.flatnonzero(few), few.shape[1])
                yield row + start, place + at
            if found * _MANY > few.size:
                words = self._columns

    def _join(self, found: list[tuple[Numbers, Numbers]]) -> None:
        """Those of the pairs that are near and not known to hang together."""
        if not found:
            return
        left, right = (np.concatenate(each) for each in zip(*found, strict=True))
        latest = self._connected.latest
        apart = latest[self._numbers[left]] != latest[self._numbers[right]]
        left, right = left[apart], right[apart]
        kept, _ = near(self._columns[:, left], self._columns[:, right], self._distance)
        self._connected.join(self._numbers[left[kept]], self._numbers[right[kept]])


class _Block:
    """Memory that is used again and again."""

    def __init__(self) -> None:
        self._differences = np.empty(_ROWS * _WIDTH, np.uint64)
        self._counts, self._more = np.empty((2, _ROWS * _WIDTH), np.uint8)

    def counted(self, words: Columns, rows: slice, behind: slice) -> NDArray[np.uint8]:
        """In how many bits of these words each of the rows and each of those behind differ; 256 is 0."""
        shape = rows.stop - rows.start, behind.stop - behind.start
        size = shape[0] * shape[1]
        differences = self._differences[:size].reshape(shape)
        counts, more = self._counts[:size].reshape(shape), self._more[:size].reshape(shape)
        counts[:] = 0
        for word in words:
            np.bitwise_xor(word[rows, None], word[behind], out=differences)
            np.bitwise_count(differences, out=more)
            np.add(counts, more, out=counts)
        return counts
