"""256-bit hashes as four columns of words, their bits mixed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BITS = 256
DISTANCE = 31
"""PDQ's own threshold (Meta's ThreatExchange): pictures whose hashes are this near are copies of each other."""
_AT_ONCE = 1 << 13

Given = Sequence[bytes] | NDArray[np.uint8]
"""Hashes as callers have them: of 32 bytes each, or an array of n x 32 bytes."""
Columns = NDArray[np.uint64]
"""4 x n: bit k of a hash is bit k % 64 of its word k // 64."""
Numbers = NDArray[np.int64]
"""Indices of hashes."""


def as_rows(given: Given) -> NDArray[np.uint64]:
    """n x 4 words. Raises ValueError for hashes of another size."""
    if isinstance(given, np.ndarray):
        if given.ndim != 2 or given.shape[1] != BITS // 8:
            raise ValueError(f"Hashes come as an array of n x 32 bytes, not {given.shape}.")
        data = np.ascontiguousarray(given, np.uint8)
    else:
        if any(len(each) != BITS // 8 for each in given):
            raise ValueError("A hash has 32 bytes; one has another length.")
        data = np.frombuffer(b"".join(given), np.uint8).reshape(-1, BITS // 8)
    return data.view(np.uint64)


def distinct(rows: NDArray[np.uint64]) -> tuple[Numbers, Numbers]:
    """Indices of the first of each set of equal hashes, in order, and which of these each hash equals."""
    keys = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    order = np.argsort(keys, kind="stable")  # stable: the first of equals comes first
    ordered = keys[order]
    changes = ordered[1:] != ordered[:-1]
    if changes.all():
        return np.arange(len(rows)), np.arange(len(rows))
    if _differ(rows[order])[~changes].any():  # other hashes with the same key: somebody took pains to find them
        order = np.lexsort(rows.T)
        changes = _differ(rows[order])
    begins = np.concatenate([[True], changes])
    first_of = np.empty(len(rows), np.int64)
    first_of[order] = order[begins][np.cumsum(begins) - 1]
    first = np.flatnonzero(first_of == np.arange(len(rows)))
    return first, np.searchsorted(first, first_of)


def _differ(ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return (ordered[1:] != ordered[:-1]).any(axis=1)


def mixing() -> NDArray[np.int64]:
    """Which bit comes at each place."""
    return np.random.default_rng(0).permutation(BITS)


def mixed(rows: NDArray[np.uint64], *, alike_last: bool = True) -> tuple[Columns, int]:
    """The hashes as columns, their bits in another order, and how many of these matter.

    The bits are mixed because neighbouring frequencies of plain pictures are alike, and a piece whose bits are alike
    sorts badly. With `alike_last` those that all hashes share come last and do not matter: they tell nothing.
    """
    order = mixing()
    bits = BITS
    if alike_last and len(rows):
        same = np.bitwise_and.reduce(rows) | ~np.bitwise_or.reduce(rows)
        fixed = np.unpackbits(same.view(np.uint8), bitorder="little").astype(bool)
        order = np.concatenate([order[~fixed[order]], order[fixed[order]]])
        bits = int(BITS - fixed.sum())
    columns = np.empty((BITS // 64, len(rows)), np.uint64)
    data = rows.view(np.uint8).reshape(len(rows), -1)
    for at in range(0, len(data), _AT_ONCE):
        each = np.unpackbits(data[at : at + _AT_ONCE], axis=1, bitorder="little")
        packed = np.packbits(np.take(each, order, axis=1), axis=1, bitorder="little")
        columns[:, at : at + _AT_ONCE] = packed.view(np.uint64).T
    return columns, bits


def near(left: Columns, right: Columns, distance: int) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
    """Which hashes are within the distance of those at the same place of the other columns, and how far away."""
    apart = np.zeros(max(left.shape[1], right.shape[1]), np.uint16)
    for one, other in zip(left, right, strict=True):
        apart += np.bitwise_count(one ^ other)
    kept = np.flatnonzero(apart <= distance)
    return kept, apart[kept]
