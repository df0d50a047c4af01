"""Hashes in the order of one piece's values, cut into tiles, and tiles that meet compared pair by pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from itertools import pairwise
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gleanset.similar.connected import Connected
from gleanset.similar.hashes import Columns, Numbers, near
from gleanset.similar.pieces import Plan

Pairs = tuple[Numbers, Numbers, NDArray[np.uint16]]
"""Indices of two hashes, the smaller first, and the distance between them."""

TILE = 64
"""Most hashes in a tile."""
_CROWDED = 8
"""Times the mean: more hashes with one value are worth a look whether they hang together already."""
_BLOCK = 1 << 17
"""Pairs compared at once: their differences stay in a core's cache."""
_MEETINGS = 1 << 18
"""Of tiles, listed at once: some 50 MB for two threads, and no slower than with more."""
_ENOUGH = 1 << 12
"""Pairs that are worth to be compared in full."""


def _rounded() -> NDArray[np.uint16]:
    """Sizes of tiles as they are compared, so that there are not too many of them."""
    sizes = np.arange(TILE + 1)
    return np.where(sizes <= 8, sizes, np.where(sizes <= 32, -(-sizes // 2) * 2, -(-sizes // 8) * 8)).astype(np.uint16)


_ROUNDED = _rounded()


_ARRAYS = ("order", "starts", "sizes", "begin", "present")


class Table:
    """The tiles of a value are those from `begin[value]` to before `begin[value + 1]`; all have some hashes in them.

    Numbers of hashes count from `first`. In a crowded table hashes that hang together already lie side by side, and
    `groups` has for each tile the root of all that is in it, or -1.
    """

    def __init__(self, plan: Plan, number: int, columns: Columns, first: int, connected: Connected | None) -> None:
        self.plan, self.number, self.first, self.columns, self.connected = plan, number, first, columns, connected
        values = plan.values(number, columns)
        sizes = np.bincount(values, minlength=1 << plan.pieces[number].bits)
        usual = _CROWDED * len(values) // len(sizes) if len(sizes) > 1 else 0
        self.crowded = connected is not None and int(sizes.max()) > max(TILE, usual)
        self.order = np.argsort(values, kind="stable")
        self.values = values[self.order]
        roots: Numbers | None = None
        if connected is not None and self.crowded:
            self._join_crowded(sizes, connected)
            roots = connected.roots()[first : first + len(values)]
            self.order = np.lexsort((roots, values))
            roots = roots[self.order]
        self.starts = self._tiles(roots)
        self.sizes = np.diff(self.starts, append=len(values))
        self.groups = None if roots is None else self._groups(roots)
        each = self.values[self.starts]
        tiles = np.bincount(each, minlength=len(sizes))
        self.begin = np.concatenate([[0], np.cumsum(tiles)])
        self.present = np.flatnonzero(tiles)
        self.words = [np.concatenate([word[self.order], word[:1].repeat(TILE)]) for word in plan.words(number, columns)]

    @classmethod
    def held(cls, plan: Plan, number: int, columns: Columns, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The table that gave these arrays."""
        table = cls.__new__(cls)
        table.plan, table.number, table.first, table.columns, table.connected = plan, number, 0, columns, None
        table.crowded, table.groups = False, None
        for name in _ARRAYS:
            setattr(table, name, arrays[f"{number} {name}"])
        table.words = [arrays[f"{number} words"]]
        return table

    def numbered_from(self, first: int) -> Self:
        """The same, but numbers of its hashes count from another one."""
        table = copy(self)
        table.first = first
        return table

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a table that knows nothing of groups is made of, for `held`: 8 bytes a hash."""
        small = {f"{self.number} {name}": getattr(self, name).astype(np.int32) for name in _ARRAYS}
        return small | {f"{self.number} words": self.words[0]}

    def _join_crowded(self, sizes: Numbers, connected: Connected) -> None:
        """Compare hashes of one value with some others that have it, which connects most of a large group."""
        at = np.flatnonzero(sizes[self.values] > TILE)
        step, joined = 1, len(at)
        while step < len(at) and joined > len(at) // 100:
            left, right = at[:-step], at[step:]
            left, right = self.order[left], self.order[right]
            apart = connected.latest[self.first + left] != connected.latest[self.first + right]
            joined = 0
            for pairs in self._in_full(self, left[apart], right[apart]):
                joined += connected.join(pairs[0], pairs[1])
            step *= 2

    def _tiles(self, roots: Numbers | None) -> Numbers:
        """Where they start: at every value, at every TILE hashes, and around many that hang together."""
        breaks = np.concatenate([[True], self.values[1:] != self.values[:-1]])
        if roots is not None:
            runs = np.flatnonzero(breaks | np.concatenate([[True], roots[1:] != roots[:-1]]))
            long = np.diff(runs, append=len(roots)) > TILE // 2
            breaks[runs[long]] = True
            breaks[runs[1:][long[:-1]]] = True
        starts = np.flatnonzero(breaks)
        counts = -(-np.diff(starts, append=len(breaks)) // TILE)
        if counts.max() == 1:
            return starts
        which, nth = _spread(counts)
        return starts[which] + nth * TILE

    def _groups(self, roots: Numbers) -> Numbers:
        least, most = np.minimum.reduceat(roots, self.starts), np.maximum.reduceat(roots, self.starts)
        return np.where(least == most, least, -1)

    def own_pairs(self) -> Iterator[Pairs]:
        """Near pairs that this piece leads to, in no particular order, each once or more often."""
        for flips in range(self.plan.pieces[self.number].allowance):
            for mine, theirs in self._values_met(self, flips, own=True):
                yield from self._met(self, mine, theirs, flips)
        several = np.flatnonzero(self.sizes > 1)
        if self.groups is not None:
            several = several[self.groups[several] < 0]
        yield from self._compared(self, several, several, 0, own=True)

    def pairs_with(self, other: Table) -> Iterator[Pairs]:
        """The same of pairs of which one hash is of the other table; this should be the smaller one."""
        for flips in range(self.plan.pieces[self.number].allowance):
            for mine, theirs in self._values_met(other, flips, own=False):
                yield from self._met(other, mine, theirs, flips)

    def pairs_led_to(self, other: Table) -> int:
        """Of how many pairs the piece makes them be compared."""
        mine, theirs = self._counts()[self.present], other._counts()
        piece = self.plan.pieces[self.number]
        masks = [mask for flips in range(piece.allowance) for mask in piece.masks(flips)]
        return sum(int(mine @ theirs[self.present ^ mask]) for mask in masks)

    def _counts(self) -> Numbers:
        """How many hashes have each value."""
        return np.diff(np.append(self.starts, self.columns.shape[1])[self.begin]).astype(np.int64)

    def _values_met(self, other: Table, flips: int, *, own: bool) -> Iterator[tuple[Numbers, Numbers]]:
        """Values, and those that they differ from in so many bits; of one table each pair once."""
        masks = self.plan.pieces[self.number].masks(flips)
        at_once = max(1, _MEETINGS // len(self.present))
        for n in range(0, len(masks), at_once):
            met = [self._values_at(other, mask, own=own) for mask in masks[n : n + at_once]]
            yield np.concatenate([mine for mine, _ in met]), np.concatenate([theirs for _, theirs in met])

    def _values_at(self, other: Table, mask: int, *, own: bool) -> tuple[Numbers, Numbers]:
        mine = self.present
        if own and mask:  # each pair once: from the side that has the mask's highest bit not set
            mine = mine[mine & (1 << (mask.bit_length() - 1)) == 0]
        theirs = mine ^ mask
        some = other.begin[theirs] < other.begin[theirs + 1]
        return mine[some], theirs[some]

    def _met(self, other: Table, mine: Numbers, theirs: Numbers, flips: int) -> Iterator[Pairs]:
        """Near pairs among the tiles of these values."""
        which, nth = _spread(self.begin[mine + 1] - self.begin[mine])
        left = self.begin[mine][which] + nth
        start, end = other.begin[theirs][which], other.begin[theirs + 1][which]
        if other is self and not flips:
            start = left + 1
        counts = end - start
        for some in _in_parts(counts, _MEETINGS):
            which, nth = _spread(counts[some])
            yield from self._compared(other, left[some][which], start[some][which] + nth, flips)

    def _compared(
        self, other: Table, left: Numbers, right: Numbers, flips: int, *, own: bool = False
    ) -> Iterator[Pairs]:
        """Near pairs of a hash in the left tile and one in the right, or of two in one tile."""
        if self.groups is not None and other.groups is not None and self.connected is not None and not own:
            one, two = self.groups[left], other.groups[right]
            apart = (one < 0) | (two < 0) | (self.connected.latest[one] != self.connected.latest[two])
            left, right = left[apart], right[apart]
        if other is self:  # half as many kinds of sizes
            small = self.sizes[left] < self.sizes[right]
            left, right = np.where(small, right, left), np.where(small, left, right)
        keys = _ROUNDED[self.sizes[left]] * np.uint16(TILE + 1) + _ROUNDED[other.sizes[right]]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        bounds = [0, *(np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist(), len(keys)]
        found = _Found(self.plan.limit(self.number) - flips)
        kept: list[tuple[Numbers, Numbers]] = []
        waiting = 0
        for start, end in pairwise(bounds):
            if start == end:
                continue
            height, width = divmod(int(keys[start]), TILE + 1)
            step = max(1, _BLOCK // (height * width))
            for at in range(start, end, step):
                some = order[at : min(end, at + step)]
                one, two = self._block(other, left[some], right[some], (height, width), found, own=own)
                if len(one):
                    kept.append((one, two))
                    waiting += len(one)
                if waiting > _ENOUGH:
                    yield from self._in_full(other, *_joined(kept))
                    kept, waiting = [], 0
        if kept:
            yield from self._in_full(other, *_joined(kept))

    def _block(
        self, other: Table, left: Numbers, right: Numbers, shape: tuple[int, int], found: _Found, *, own: bool
    ) -> tuple[Numbers, Numbers]:
        """Tiles of about one size: a tile's hashes lie in a column, so that all that is done runs along the tiles."""
        start, other_start = self.starts[left], other.starts[right]
        rows, columns = start + np.arange(shape[0])[:, None], other_start + np.arange(shape[1])[:, None]
        if own:
            one, two = np.triu_indices(shape[0], 1)
            place, tile = found.among((words[rows[one]], words[rows[two]]) for words in self.words)
            row, column = one[place], two[place]
        else:
            both = zip(self.words, other.words, strict=True)
            place, tile = found.among((mine[rows][:, None], theirs[columns]) for mine, theirs in both)
            row, column = np.divmod(place, shape[1])
        real = (row < self.sizes[left][tile]) & (column < other.sizes[right][tile])
        row, column, tile = row[real], column[real], tile[real]
        return self.order[start[tile] + row], other.order[other_start[tile] + column]

    def _in_full(self, other: Table, left: Numbers, right: Numbers) -> Iterator[Pairs]:
        """Those of the pairs that are near; of connected ones only such as are not known to hang together."""
        if self.connected is not None:
            latest = self.connected.latest
            apart = latest[self.first + left] != latest[other.first + right]
            left, right = left[apart], right[apart]
        for at in range(0, len(left), _BLOCK):
            one, two = left[at : at + _BLOCK], right[at : at + _BLOCK]
            kept, apart = near(self.columns[:, one], other.columns[:, two], self.plan.distance)
            if len(kept):
                one, two = self.first + one[kept], other.first + two[kept]
                yield np.minimum(one, two), np.maximum(one, two), apart


class _Found:
    """Finds words that differ in few bits, in memory that is used again and again."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._memory: dict[tuple[np.dtype[Any], int], NDArray[Any]] = {}

    def among(self, words: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which rows, and which places in them."""
        counts: NDArray[np.uint8] | None = None
        for left, right in words:
            differences = self._like(left, right, left.dtype)
            np.bitwise_xor(left, right, out=differences)
            more = np.bitwise_count(
                differences, out=self._like(left, right, np.dtype(np.uint8), int(counts is not None))
            )
            counts = more if counts is None else np.add(counts, more, out=counts)
        assert counts is not None
        few = np.less_equal(counts, self._limit, out=self._like(counts, counts, np.dtype(np.bool_)))
        return np.divmod(np.flatnonzero(few), few.shape[-1])

    def _like(self, left: NDArray[Any], right: NDArray[Any], dtype: np.dtype[Any], nth: int = 0) -> NDArray[Any]:
        shape = np.broadcast_shapes(left.shape, right.shape)
        size = prod(shape)
        kept = self._memory.get((dtype, nth))
        if kept is None or len(kept) < size:
            kept = self._memory[dtype, nth] = np.empty(size, dtype)
        return kept[:size].reshape(shape)


def _joined(kept: list[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    return np.concatenate([left for left, _ in kept]), np.concatenate([right for _, right in kept])


def _spread(counts: Numbers) -> tuple[Numbers, Numbers]:
    """Each index as often as its count says, and the how manieth of them it is, from 0."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


def _in_parts(counts: Numbers, most: int) -> Iterator[slice]:
    """Parts whose counts sum up to about so many."""
    sums = np.cumsum(counts)
    start = 0
    while start < len(counts):
        full = int(sums[start] - counts[start]) + most
        end = max(start + 1, int(np.searchsorted(sums, full, "right")))
        yield slice(start, end)
        start = end
