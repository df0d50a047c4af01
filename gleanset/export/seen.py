"""Which names were written already, of many millions, in 16 to 32 bytes for each."""

from __future__ import annotations

import hashlib

import numpy as np

from gleanset.export.workspace import Workspace

_EMPTY = 0
_FIRST_SLOTS = 1 << 12
_READ = 1 << 19
"""Bytes that become numbers of Python at once."""


class Seen:
    """A set of names that only grows: their 64-bit hashes in an open table, and in a file that outlives a kill.

    Two names with one hash would be taken for the same: for ten million names, one chance in 370,000.
    """

    def __init__(self, place: Workspace, name: str) -> None:
        self._file = place.growing(f"{name}.seen")
        self._count = 0
        self._table = np.zeros(_FIRST_SLOTS, np.uint64)
        with self._file.path.open("rb") as file:
            for start in range(0, self._file.size, _READ):
                for value in np.frombuffer(file.read(min(_READ, self._file.size - start)), np.uint64).tolist():
                    self._put(value)

    def is_new(self, name: str) -> bool:
        """Whether the name is asked for the first time."""
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        value = int.from_bytes(digest, "little") or 1
        if not self._put(value):
            return False
        self._file.write(value.to_bytes(8, "little"))
        return True

    def _put(self, value: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        slot = value & mask
        while (there := int(table[slot])) != _EMPTY:
            if there == value:
                return False
            slot = (slot + 1) & mask
        table[slot] = value
        self._count += 1
        if 2 * self._count > len(table):
            self._grow()
        return True

    def _grow(self) -> None:
        old = self._table
        self._table = np.zeros(2 * len(old), np.uint64)
        self._count = 0
        for start in range(0, len(old), _READ // 8):
            block = old[start : start + _READ // 8]
            for value in block[block != _EMPTY].tolist():
                self._put(value)
