"""Near-duplicates: which of many 256-bit perceptual hashes lie within a Hamming distance of each other. Exact.

Cut into pieces, two hashes that differ in at most `d` bits are alike in at least one piece: were they more than `t`
bits apart in every piece, with (t + 1) summing up to more than `d`, they would be more than `d` apart in all (the
pigeonhole principle in its general form: Qin et al., "GPH: Similarity Search in Hamming Space", ICDE 2018; multi-index
hashing: Norouzi, Punjani and Fleet, CVPR 2012). So the value of a piece, and that value with one or two bits flipped,
lead to every hash that comes into question, and these few are compared in full. Nothing is approximate.

All work is numpy's on whole arrays, outside the GIL, so threads share the flips among the cores.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

BITS = 256
DISTANCE = 31
"""PDQ's own threshold (Meta's ThreatExchange): pictures whose hashes are this near are copies of each other."""

Hashes = NDArray[np.uint64]
"""n x 4: the 256 bits of each hash."""
Numbers = NDArray[np.int64]
Pairs = tuple[Numbers, Numbers, NDArray[np.uint16]]
"""Indices of two hashes, the smaller first, and the distance between them."""

_BLOCK = 1 << 17
"""Pairs compared at once: their columns stay in a core's cache."""
_CROWDED = 64
"""Hashes with one value of a piece, from which on it pays to leave out those that are connected already."""
_LOOK_UP, _COMPARE = 25.0, 5.0
"""Nanoseconds, roughly; what the number of pieces is chosen by."""


def as_hashes(given: Sequence[bytes] | NDArray[np.uint8]) -> Hashes:
    """Hashes of 32 bytes each, or an array of n x 32 bytes. Raises ValueError for another size."""
    if isinstance(given, np.ndarray):
        if given.ndim != 2 or given.shape[1] != BITS // 8:
            raise ValueError(f"Hashes come as an array of n x 32 bytes, not {given.shape}.")
        data = np.ascontiguousarray(given, np.uint8)
    else:
        if any(len(each) != BITS // 8 for each in given):
            raise ValueError("A hash has 32 bytes; one has another length.")
        data = np.frombuffer(b"".join(given), np.uint8).reshape(-1, BITS // 8)
    return data.view(np.uint64)


def groups(
    given: Sequence[bytes] | NDArray[np.uint8], distance: int = DISTANCE, *, threads: int | None = None
) -> Numbers:
    """For each hash the index of the first of its group: of all that a chain of near hashes connects.

    A hash that is near no other is a group of its own.
    """
    hashes = as_hashes(given)
    if not len(hashes):
        return np.zeros(0, np.int64)
    first, which = _distinct(hashes)
    connected = _Connected(len(first))
    for left, right, _ in _Search(hashes[first], distance, threads).pairs(connected):
        connected.join(left, right)
    return first[connected.roots()[which]]


def _distinct(hashes: Hashes) -> tuple[Numbers, Numbers]:
    """Indices of the first of each set of equal hashes, in order, and which of these each hash equals."""
    order = np.lexsort(hashes.T)  # stable: the first of equals comes first
    ordered = hashes[order]
    begins = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    first_of = np.empty(len(hashes), np.int64)
    first_of[order] = order[begins][np.cumsum(begins) - 1]
    first = np.flatnonzero(first_of == np.arange(len(hashes)))
    return first, np.searchsorted(first, first_of)


def near_pairs(
    given: Sequence[bytes] | NDArray[np.uint8], distance: int = DISTANCE, *, threads: int | None = None
) -> Iterator[Pairs]:
    """Every pair within the distance, once, in arrays and no particular order.

    There may be n² / 2 of them when many hashes are equal; `groups` never makes so many.
    """
    hashes = as_hashes(given)
    yield from _Search(hashes, distance, threads).pairs(None)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of bits, and how many of them may differ."""

    start: int
    bits: int
    flips: int

    def of(self, hashes: Hashes) -> NDArray[np.uint32]:
        """What each hash has there: numbers below 2^bits."""
        word, shift = divmod(self.start, 64)
        value = hashes[:, word] >> np.uint64(shift)
        if shift + self.bits > 64:
            value = value | hashes[:, word + 1] << np.uint64(64 - shift)
        return (value & np.uint64((1 << self.bits) - 1)).astype(np.uint32)

    def masks(self) -> list[int]:
        """What two values may differ by."""
        bits = [1 << bit for bit in range(self.bits)]
        return [sum(flipped) for count in range(self.flips + 1) for flipped in combinations(bits, count)]


def _pieces(count: int, bits: int, distance: int) -> list[_Piece] | None:
    """The first `bits` bits cut into `count` pieces whose flips suffice for the distance; None if it takes too many."""
    flips, more = divmod(max(0, distance - count + 1), count)
    if flips + (more > 0) > 2 or bits // count > 28:
        return None
    cuts = [bits * n // count for n in range(count + 1)]
    # Every flip that is needed, and the first pieces take the odd ones.
    return [_Piece(start, end - start, flips + (n < more)) for n, (start, end) in enumerate(pairwise(cuts))]


def _cost(pieces: list[_Piece], size: int) -> float:
    """Nanoseconds for each hash, were all bits fair coins."""
    look_ups = sum(comb(piece.bits, k) for piece in pieces for k in range(piece.flips + 1)) / 2
    compared = sum(comb(piece.bits, k) * size / 2**piece.bits for piece in pieces for k in range(piece.flips + 1)) / 2
    tables = sum(2**piece.bits for piece in pieces) / size
    return look_ups * _LOOK_UP + compared * _COMPARE + tables


class _Connected:
    """Which indices hang together: a forest of whole-array unions."""

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size)

    def roots(self) -> Numbers:
        """The smallest index of each one's component."""
        while True:
            above = self._parent[self._parent]
            if np.array_equal(above, self._parent):
                return self._parent
            self._parent = above

    def join(self, left: Numbers, right: Numbers) -> None:
        """Connect each left with its right."""
        while len(left):
            roots = self.roots()
            left, right = roots[left], roots[right]
            apart = left != right
            left, right = left[apart], right[apart]
            low, high = np.minimum(left, right), np.maximum(left, right)
            np.minimum.at(self._parent, high, low)


class _Search:
    """The pieces chosen for a set of hashes."""

    def __init__(self, hashes: Hashes, distance: int, threads: int | None) -> None:
        if not 0 <= distance < BITS:
            raise ValueError(f"A distance is from 0 to {BITS - 1}, not {distance}.")
        self.distance = distance
        self.threads = threads or os.cpu_count() or 1
        self.hashes, bits = _shuffled(hashes)
        choices = [_pieces(count, bits, distance) for count in range(1, bits + 1)]
        size = max(1, len(hashes))
        cost = partial(_cost, size=size)
        best = min((choice for choice in choices if choice is not None), key=cost, default=None)
        self.pieces = best if best is not None and cost(best) < _COMPARE * size / 2 else None

    def pairs(self, connected: _Connected | None) -> Iterator[Pairs]:
        """Near pairs, each once; with `connected` only such as it does not know to hang together."""
        if self.pieces is None:  # so few hashes, or so wide a distance, that comparing all with all is as good
            yield from self._everything()
            return
        with ThreadPoolExecutor(self.threads) as pool:
            for number, piece in enumerate(self.pieces):
                table = _Table(self, number, piece, connected)
                if connected is not None:
                    yield table.neighbours()
                    table = _Table(self, number, piece, connected)
                yield from _in_turn(pool, [partial(table.search, mask) for mask in piece.masks()], self.threads)

    def _everything(self) -> Iterator[Pairs]:
        numbers = np.arange(len(self.hashes))
        for n in range(1, len(self.hashes)):
            yield self.near(np.full(n, n), numbers[:n], None)

    def near(self, left: Numbers, right: Numbers, piece: int | None) -> Pairs:
        """Those of the pairs that are within the distance, and that no piece before this one finds."""
        a, b = self.hashes[left], self.hashes[right]
        apart = np.bitwise_count(a ^ b).sum(axis=1, dtype=np.uint16)
        kept = apart <= self.distance
        for earlier in (self.pieces or [])[:piece] if piece else []:
            kept &= np.bitwise_count(earlier.of(a) ^ earlier.of(b)) > earlier.flips
        left, right = left[kept], right[kept]
        return np.minimum(left, right), np.maximum(left, right), apart[kept]


def _shuffled(hashes: Hashes) -> tuple[Hashes, int]:
    """The hashes with their bits in another order, and how many of these matter.

    Bits that all hashes share come last: they tell nothing. The others are mixed, because neighbouring frequencies of
    plain pictures are alike, and a piece whose bits are alike sorts badly.
    """
    if not len(hashes):
        return hashes, BITS
    same = np.bitwise_and.reduce(hashes) | ~np.bitwise_or.reduce(hashes)
    fixed = np.unpackbits(same.view(np.uint8), bitorder="little").astype(bool)
    order = np.random.default_rng(0).permutation(BITS)
    order = np.concatenate([order[~fixed[order]], order[fixed[order]]])
    mixed = np.empty((len(hashes), BITS // 8), np.uint8)
    rows = hashes.view(np.uint8).reshape(len(hashes), -1)
    for at in range(0, len(rows), 1 << 14):
        bits = np.unpackbits(rows[at : at + (1 << 14)], axis=1, bitorder="little")
        mixed[at : at + (1 << 14)] = np.packbits(bits[:, order], axis=1, bitorder="little")
    return mixed.view(np.uint64), int(BITS - fixed.sum())


class _Table:
    """All hashes in the order of one piece's values, and where each value begins."""

    def __init__(self, search: _Search, number: int, piece: _Piece, connected: _Connected | None) -> None:
        self._search, self._number = search, number
        values = piece.of(search.hashes)
        if connected is None:
            self._groups = None
            self._order = np.argsort(values, kind="stable")
        else:
            roots = connected.roots()
            self._order = np.lexsort((roots, values))
            self._groups = roots[self._order]
        self._values = values[self._order]
        self._starts = np.searchsorted(self._values, np.arange((1 << piece.bits) + 1, dtype=np.uint32))
        self._done = self._connected_values()
        # Two words are enough to tell nearly all strangers apart, and lie in the order in which they are read.
        self._words = tuple(search.hashes[self._order, (piece.start // 64 + n) % 4].copy() for n in (1, 2))

    def _connected_values(self) -> Numbers | None:
        """For each value the group of all hashes that have it, -1 when there are several; None when none is crowded."""
        if self._groups is None or np.diff(self._starts).max() <= _CROWDED:
            return None
        begins = np.flatnonzero(np.diff(self._values, prepend=~self._values[:1]))
        least, most = (each.reduceat(self._groups, begins) for each in (np.minimum, np.maximum))
        done = np.full(len(self._starts), -1)
        done[self._values[begins]] = np.where(least == most, least, -1)
        return done

    def neighbours(self) -> Pairs:
        """Hashes that stand side by side: what connects most of a large group before it is looked at pair by pair."""
        at = np.arange(len(self._order) - 1)
        return self._search.near(self._order[at], self._order[at + 1], None)

    def search(self, mask: int) -> Iterator[Pairs]:
        """Near pairs whose values differ by exactly this mask."""
        at = np.arange(len(self._values))
        if mask:  # each pair once: from the side that has the mask's highest bit not set
            at = at[self._values & np.uint32(1 << (mask.bit_length() - 1)) == 0]
        other = self._values[at] ^ np.uint32(mask)
        if self._done is not None and self._groups is not None:
            left = self._done[other] != self._groups[at]
            at, other = at[left], other[left]
        start, end = self._starts[other], self._starts[other + 1]
        if not mask:
            start = at + 1
        for at, start, end in self._without_connected(at, start, end, mask):  # noqa: B020 - narrowed
            yield from self._compared(at, start, end)

    def _without_connected(
        self, at: Numbers, start: Numbers, end: Numbers, mask: int
    ) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
        """The same ranges; crowded ones in two parts, without those that hang together with the one that looks."""
        if self._groups is None:
            yield at, start, end
            return
        crowded = end - start > _CROWDED
        yield at[~crowded], start[~crowded], end[~crowded]
        if crowded.any():
            at, start, end = at[crowded], start[crowded], end[crowded]
            keys: Hashes = self._values.astype(np.uint64) << np.uint64(32) | self._groups.astype(np.uint64)
            wanted = keys[at] ^ np.uint64(mask << 32)
            yield at, start, np.maximum(start, np.searchsorted(keys, wanted, "left"))
            yield at, np.maximum(start, np.searchsorted(keys, wanted, "right")), end

    def _compared(self, at: Numbers, start: Numbers, end: Numbers) -> Iterator[Pairs]:
        """Each `at` with all from its start to before its end, in blocks."""
        some = end > start
        at, start, counts = at[some], start[some], (end - start)[some]
        sums = np.cumsum(counts)
        first = 0
        while first < len(at):
            full = int(sums[first] - counts[first]) + _BLOCK
            last = max(first + 1, int(np.searchsorted(sums, full, "right")))
            yield self._block(at[first:last], start[first:last], counts[first:last])
            first = last

    def _block(self, at: Numbers, start: Numbers, counts: Numbers) -> Pairs:
        ends = np.cumsum(counts)
        right = np.repeat(start - (ends - counts), counts)
        right += np.arange(len(right))
        one, two = self._words
        apart = np.bitwise_count(np.repeat(one[at], counts) ^ one[right])
        apart += np.bitwise_count(np.repeat(two[at], counts) ^ two[right])
        near = np.flatnonzero(apart <= self._search.distance)
        left = at[np.searchsorted(ends, near, "right")]
        return self._search.near(self._order[left], self._order[right[near]], self._number)


def _in_turn(pool: ThreadPoolExecutor, work: Sequence[partial[Iterator[Pairs]]], threads: int) -> Iterator[Pairs]:
    """What the work finds, in the order of the work, with a few pieces of it under way."""
    under_way: deque[Future[list[Pairs]]] = deque()
    for each in work:
        under_way.append(pool.submit(_found, each))
        if len(under_way) > 2 * threads:
            yield from under_way.popleft().result()
    while under_way:
        yield from under_way.popleft().result()


def _found(work: partial[Iterator[Pairs]]) -> list[Pairs]:
    return [pairs for pairs in work() if len(pairs[0])]
