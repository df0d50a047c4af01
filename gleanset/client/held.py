"""The rows that a dataset and its parts are read from: of an export on its way, of one in the cache, of a file."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from gleanset.client.coming import Coming
from gleanset.client.rows import Rows
from gleanset.errors import DatasetError


class Held:
    """`rows` are read until they turn out to be damaged; then, once, those that `again` makes. They are let go of when
    this is closed, or when nobody has it any more; so is what is `coming`."""

    def __init__(
        self, rows: Rows, again: Callable[[DatasetError], Rows] | None = None, coming: Coming | None = None
    ) -> None:
        self.rows, self._again, self._coming = rows, again, coming
        self._mending, self._closed = Lock(), False
        if coming is not None:
            weakref.finalize(self, coming.stop.set)

    def reading(self) -> Rows:
        """The rows. Raises DatasetError when they were let go of."""
        if self._closed:
            raise DatasetError(f"{self.rows.name} is closed.")
        return self.rows

    def mended(self, rows: Rows, damage: DatasetError) -> Rows:
        """Others in the place of these, in which there was this damage. Raises that when there are no others."""
        with self._mending:
            if self.reading() is rows:
                if self._again is None:
                    raise damage
                again, self._again = self._again, None
                self.rows = again(damage)
            return self.rows

    def whole(self) -> Path:
        """Where they lie, when all is there."""
        if self._coming is not None:
            self._coming.whole()
        return self.reading().path

    def close(self, *, at_once: bool = False) -> None:
        """What is coming is waited for when its last parts are on their way, unless it has to be `at_once`."""
        self._closed = True
        if self._coming is not None:
            self._coming.close(at_once=at_once)
        self.rows.close()
