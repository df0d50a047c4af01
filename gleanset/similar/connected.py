"""Which hashes hang together by a chain of near ones."""

from __future__ import annotations

from threading import Lock

import numpy as np

from gleanset.similar.hashes import Numbers

_OFTEN = 1 << 17


class Connected:
    """A forest that several threads join together, by whole arrays. A root is the smallest index of its tree."""

    def __init__(self, parents: Numbers) -> None:
        self._parents = parents
        self._lock = Lock()
        self._joined = 0

    @property
    def latest(self) -> Numbers:
        """A member of each one's component, the same for many of it: who has the same as another hangs together with
        it, as far as is known by now."""
        return self._parents

    def grow(self, more: int) -> None:
        """So many more, each by itself."""
        size = len(self._parents)
        self._parents = np.concatenate([self._parents, np.arange(size, size + more)])

    def roots(self) -> Numbers:
        """The smallest index of each one's component."""
        with self._lock:
            return self._roots()

    def join(self, left: Numbers, right: Numbers) -> int:
        """Connect each left with its right; how many pairs were apart."""
        with self._lock:
            left, right = self._found(left), self._found(right)
            apart = np.count_nonzero(left != right)
            while len(left):
                kept = left != right
                left, right = left[kept], right[kept]
                low, high = np.minimum(left, right), np.maximum(left, right)
                np.minimum.at(self._parents, high, low)
                left, right = self._found(low), self._found(high)
            self._joined += int(apart)
            if self._joined > _OFTEN:
                self._roots()
            return int(apart)

    def _roots(self) -> Numbers:
        while True:
            above = self._parents[self._parents]
            if np.array_equal(above, self._parents):
                break
            self._parents = above
        self._joined = 0
        return self._parents.copy()

    def _found(self, numbers: Numbers) -> Numbers:
        """The roots of these, and a shorter way to them for the next time."""
        while True:
            above = self._parents[numbers]
            higher = self._parents[above]
            if np.array_equal(above, higher):
                return above
            self._parents[numbers] = higher
            numbers = higher
