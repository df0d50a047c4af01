"""The pictures of contact-sheet.jpg: a few of every label. Which ones depends on their hashes, not on their order."""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Mapping, Sequence
from typing import Any

from gleanset.export.base import Entry

MOST_LABELS = 16
MOST_PICTURES = 6

Sample = tuple[str, str]
"""A picture's SHA-256, and its key in the store."""


class Samples:
    """Chooses while the entries stream by: of every label the smallest hashes, of too many labels those of the
    smallest hashes. It keeps no pictures; they are read when the sheet is drawn."""

    def __init__(self) -> None:
        self._labels: dict[str, list[Sample]] = {}

    def add(self, entry: Entry) -> None:
        kept = self._labels.get(entry.label)
        if kept is None:
            if not self._room(entry.label):
                return
            kept = self._labels[entry.label] = []
        sample = entry.sha256, entry.key
        if (len(kept) < MOST_PICTURES or sample < kept[-1]) and sample not in kept:
            insort(kept, sample)
            del kept[MOST_PICTURES:]

    def _room(self, label: str) -> bool:
        """Whether the label has a place; one that had it may lose it, and never needs it again."""
        if len(self._labels) < MOST_LABELS:
            return True
        last = max(self._labels, key=_order)
        if _order(label) > _order(last):
            return False
        del self._labels[last]
        return True

    def chosen(self) -> dict[str, list[str]]:
        """Keys in the store by label, both in order."""
        return {label: [key for _, key in self._labels[label]] for label in sorted(self._labels)}

    def state(self) -> Any:
        """All of it, for JSON."""
        return self._labels

    def restore(self, state: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """Go on from what `state` gave."""
        self._labels = {label: [(each[0], each[1]) for each in kept] for label, kept in state.items()}


def _order(label: str) -> bytes:
    return hashlib.sha256(label.encode()).digest()
