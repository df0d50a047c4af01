"""Near-duplicates: which of many 256-bit perceptual hashes lie within a Hamming distance of each other. Exact.

Let the bits be cut into pieces that lie in a ring, each with an allowance, and all allowances sum up to d + 1. For two
hashes that differ in at most `d` bits there is a piece from which on, all around the ring, the bits that differ in the
pieces so far are fewer than their allowances together (Raney's lemma; "pigeonring", Qin and Xiao, VLDB 2018). So they
differ in fewer bits of that piece than its allowance: its value, and that value with one or two bits flipped, lead to
every hash that comes into question (multi-index hashing: Norouzi, Punjani and Fleet, CVPR 2012; unequal pieces: Qin et
al., ICDE 2018). And they differ in few of the 32 bits behind it, which tells nearly all strangers apart with one XOR.
Who is left is compared in full. Nothing is approximate. Hashes that pieces do not tell apart: see `everyone`.

All work is numpy's on whole arrays, outside the GIL, so threads share the pieces among the cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gleanset.similar.connected import Connected
from gleanset.similar.everyone import connect_all
from gleanset.similar.hashes import BITS, DISTANCE, Columns, Given, Numbers, as_rows, distinct, mixed
from gleanset.similar.index import Batch, Index
from gleanset.similar.pieces import Plan, plan_for
from gleanset.similar.table import Pairs, Table

__all__ = ["DISTANCE", "Batch", "Index", "Pairs", "groups", "near_pairs"]


def groups(given: Given, distance: int = DISTANCE, *, threads: int | None = None) -> Numbers:
    """For each hash the index of the first of its group: of all that a chain of near hashes connects.

    A hash that is near no other is a group of its own.
    """
    rows = _checked(given, distance)
    if not len(rows):
        return np.zeros(0, np.int64)
    first, which = distinct(rows)
    if len(first) == len(rows):  # the usual case, in which both say nothing
        del first, which
        return _roots(rows, distance, threads)
    return first[_roots(rows[first], distance, threads)[which]]


def _roots(rows: NDArray[np.uint64], distance: int, threads: int | None) -> Numbers:
    """The same for hashes that all differ."""
    columns, bits = mixed(rows)
    connected = Connected(np.arange(len(rows)))
    _connect(columns, bits, distance, connected, threads or os.cpu_count() or 1)
    return connected.roots()


def near_pairs(given: Given, distance: int = DISTANCE) -> Iterator[Pairs]:
    """Every pair within the distance, once, in arrays and no particular order.

    There may be n² / 2 of them when many hashes are equal; `groups` never makes so many.
    """
    columns, bits = mixed(_checked(given, distance))
    if not columns.shape[1]:
        return
    plan = plan_for(columns, bits, distance)
    for number in plan.leading_pieces():
        for left, right, apart in Table(plan, number, columns, 0, None).own_pairs():
            once = plan.leading(columns[:, left] ^ columns[:, right]) == number
            yield left[once], right[once], apart[once]


def _checked(given: Given, distance: int) -> NDArray[np.uint64]:
    if not 0 <= distance < BITS:
        raise ValueError(f"A distance is from 0 to {BITS - 1}, not {distance}.")
    return as_rows(given)


def _connect(columns: Columns, bits: int, distance: int, connected: Connected, threads: int) -> None:
    size = columns.shape[1]
    if distance >= bits:  # they cannot be further apart
        rest = np.arange(1, size, dtype=np.int64)
        connected.join(np.zeros_like(rest), rest)
        return
    plan = plan_for(columns, bits, distance)
    if not plan.pieces[0].bits:
        connect_all(columns, distance, connected, threads)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(partial(_connect_by, plan, columns, connected), plan.leading_pieces()))


def _connect_by(plan: Plan, columns: Columns, connected: Connected, number: int) -> None:
    for left, right, _ in Table(plan, number, columns, 0, connected).own_pairs():
        connected.join(left, right)
