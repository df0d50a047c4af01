"""How the bits of a hash are cut into pieces, so that near hashes nearly agree in one of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

from gleanset.similar.hashes import Columns

WINDOW = 32
_MOST_FLIPS, _MOST_BITS = 2, 24
_MEETING, _COMPARED, _SORTED, _VALUE, _IN_FULL = 150.0, 2.0, 40.0, 10.0, 4.0
"""Nanoseconds, roughly: of two tiles that meet, a pair in them, a hash and a value of a table, one of all pairs."""

UNLIKE = 4
"""Of so many pairs that pieces lead to one costs less than one of all with all: more are alike in the next bits too."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of bits. Two hashes may differ in fewer than `allowance` of them; with 0 it leads to nothing."""

    start: int
    bits: int
    allowance: int

    def masks(self, flips: int) -> list[int]:
        """What two values differ by that differ in so many bits."""
        return [sum(flipped) for flipped in combinations([1 << bit for bit in range(self.bits)], flips)]


@dataclass(frozen=True, slots=True)
class Plan:
    """The first `bits` bits cut into pieces whose allowances sum up to distance + 1."""

    pieces: tuple[Piece, ...]
    bits: int
    distance: int

    def leading_pieces(self) -> list[int]:
        """The numbers of the pieces that lead to anything."""
        return [number for number, piece in enumerate(self.pieces) if piece.allowance]

    def values(self, number: int, columns: Columns) -> NDArray[np.uint16] | NDArray[np.uint32]:
        """What each hash has in a piece."""
        piece = self.pieces[number]
        values = _cut(columns, piece.start, piece.bits)
        return values.astype(np.uint16) if piece.bits <= 16 else values.astype(np.uint32)

    def words(self, number: int, columns: Columns) -> list[NDArray[np.uint32] | NDArray[np.uint64]]:
        """What tells hashes apart that a piece leads to: the bits that follow on it, the first ones after the last.

        Of the piece without bits, which leads from all to all, they are the whole hash.
        """
        if not self.pieces[number].bits:
            return list(columns)
        start, length = self._window(number)
        before_end = min(length, self.bits - start)
        found = _cut(columns, start, before_end)
        if before_end < length:
            found |= _cut(columns, 0, length - before_end) << np.uint64(before_end)
        return [found.astype(np.uint32)]

    def limit(self, number: int) -> int:
        """In how many bits of a piece and its words together two hashes may differ that this piece leads to."""
        left = self._window(number)[1] if self.pieces[number].bits else 0
        total = self.pieces[number].allowance
        while left > 0:
            number = (number + 1) % len(self.pieces)
            total += self.pieces[number].allowance
            left -= self.pieces[number].bits
        return total - 1

    def pairs_met(self, columns: Columns) -> int:
        """How many pairs the pieces lead to among these hashes, however unfair their bits are."""
        total = 0
        for number in self.leading_pieces():
            piece = self.pieces[number]
            sizes = np.bincount(self.values(number, columns), minlength=1 << piece.bits)
            places = np.arange(len(sizes))
            for flips in range(piece.allowance):
                total += sum(int(sizes @ sizes[places ^ mask]) for mask in piece.masks(flips))
        return total // 2

    def leading(self, differences: Columns) -> NDArray[np.intp]:
        """For each difference of two near hashes the first piece that leads to them."""
        excess = [
            np.bitwise_count(_cut(differences, piece.start, piece.bits)).astype(np.int16) - piece.allowance
            for piece in self.pieces
        ]
        sums = np.cumsum([*excess, *excess], axis=0)
        count = len(self.pieces)
        before = np.concatenate([np.zeros((1, differences.shape[1]), np.int64), sums[: count - 1]])
        most = np.array([sums[n : n + count].max(axis=0) for n in range(count)])
        return np.argmax(most < before, axis=0)

    def _window(self, number: int) -> tuple[int, int]:
        piece = self.pieces[number]
        return (piece.start + piece.bits) % self.bits, min(WINDOW, self.bits - piece.bits)


def _cut(columns: Columns, start: int, bits: int) -> NDArray[np.uint64]:
    """Numbers below 2^bits."""
    word, shift = divmod(start, 64)
    found = columns[word] >> np.uint64(shift)
    if shift + bits > 64:
        found |= columns[word + 1] << np.uint64(64 - shift)
    found &= np.uint64((1 << bits) - 1)
    return found


@cache
def best_plan(size: int, bits: int, distance: int) -> Plan:
    """The cheapest for so many hashes."""
    plans = [plan for count in range(1, bits + 1) if (plan := plan_of(count, bits, distance)) is not None]
    best = min(plans, key=lambda plan: _cost(plan, size), default=None)
    if best is None or _cost(best, size) > _IN_FULL * size**2 / 2:
        return all_with_all(bits, distance)
    return best


def all_with_all(bits: int, distance: int) -> Plan:
    """One piece that has no bits."""
    return Plan((Piece(0, 0, distance + 1),), bits, distance)


def plan_for(columns: Columns, bits: int, distance: int) -> Plan:
    """The cheapest for these hashes. Where plain pictures make crowds, nothing may be better than all with all."""
    size = columns.shape[1]
    plan = best_plan(size, bits, distance)
    return plan if UNLIKE * plan.pairs_met(columns) < size**2 / 2 else all_with_all(bits, distance)


def plan_of(count: int, bits: int, distance: int) -> Plan | None:
    """So many pieces; None when one would be too long, or too many of its bits could be flipped."""
    allowance, more = divmod(distance + 1, count)
    if allowance + (more > 0) > _MOST_FLIPS + 1 or -(-bits // count) > _MOST_BITS:
        return None
    cuts = [bits * n // count for n in range(count + 1)]
    pieces = [Piece(start, end - start, allowance + (n < more)) for n, (start, end) in enumerate(pairwise(cuts))]
    return Plan(tuple(pieces), bits, distance)


def _cost(plan: Plan, size: int) -> float:
    """Nanoseconds, were all bits fair coins."""
    total = 0.0
    for piece in plan.pieces:
        if piece.allowance:
            masks = sum(comb(piece.bits, flips) for flips in range(piece.allowance))
            values = 2**piece.bits
            met = values * (1 - np.exp(-size / values)) ** 2
            total += masks / 2 * (met * _MEETING + size**2 / values * _COMPARED) + size * _SORTED + values * _VALUE
    return total
