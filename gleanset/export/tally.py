"""What is counted for the papers of a dataset while its entries stream by."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gleanset.export.base import Entry
from gleanset.sources.licence import is_creative_commons
from gleanset.types import Licence

_MODULUS = 1 << 256


@dataclass(slots=True)
class Tally:
    """Counts of images. `first` and `last`: when the earliest and the latest of them were fetched.

    `licences` are without addresses, which may be another for every picture; `links` has one for each code.
    """

    images: int = 0
    bytes: int = 0
    resized: int = 0
    labels: Counter[str] = field(default_factory=Counter[str])
    sources: Counter[str] = field(default_factory=Counter[str])
    licences: Counter[Licence | None] = field(default_factory=Counter[Licence | None])
    links: dict[str, str] = field(default_factory=dict[str, str])
    formats: Counter[str] = field(default_factory=Counter[str])
    splits: Counter[str] = field(default_factory=Counter[str])
    decisions: Counter[str] = field(default_factory=Counter[str])
    first: datetime | None = None
    last: datetime | None = None
    sum: int = 0

    def add(self, entry: Entry) -> None:
        self.images += 1
        self.bytes += entry.file_size
        self.resized += entry.original is not None
        self.labels[entry.label] += 1
        self.sources[entry.source or "unknown"] += 1
        self._add_licence(entry.licence)
        self.formats[entry.format] += 1
        if entry.split is not None:
            self.splits[entry.split] += 1
        if entry.decision is not None:
            self.decisions[entry.decision] += 1
        if entry.fetched_at is not None:
            self.first = min(self.first or entry.fetched_at, entry.fetched_at)
            self.last = max(self.last or entry.fetched_at, entry.fetched_at)
        self.sum = (self.sum + _digest(entry)) % _MODULUS

    def _add_licence(self, licence: Licence | None) -> None:
        self.licences[licence and Licence(licence.code, licence.version)] += 1
        if licence is not None and licence.url is not None and not is_creative_commons(licence):
            self.links[licence.code] = min(self.links.get(licence.code, licence.url), licence.url)

    def by_licence(self) -> list[tuple[Licence | None, int]]:
        """Licences with their addresses where they need one, the most frequent first."""
        found = [
            (each and Licence(each.code, each.version, self.links.get(each.code)), count)
            for each, count in self.licences.items()
        ]
        return sorted(found, key=lambda each: (-each[1], str(each[0])))

    @property
    def fingerprint(self) -> str:
        """64 hex digits that stand for which pictures there are, with which label, split, licence and decision.

        A sum of hashes, so it does not depend on the order, and can be kept and gone on with.
        """
        return f"{self.sum:064x}"

    def state(self) -> dict[str, Any]:
        """All of it, for JSON."""
        counters = {name: dict(getattr(self, name)) for name in _COUNTERS}
        licences = [[*_key(each), count] for each, count in self.licences.items()]
        dates = [each and each.isoformat() for each in (self.first, self.last)]
        numbers = [self.images, self.bytes, self.resized, self.fingerprint]
        return {"counters": counters, "licences": licences, "links": self.links, "dates": dates, "numbers": numbers}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Tally:
        """The tally that `state` was asked of."""
        images, size, resized, fingerprint = state["numbers"]
        first, last = (each and datetime.fromisoformat(each) for each in state["dates"])
        tally = cls(images, size, resized, first=first, last=last, sum=int(fingerprint, 16))
        for name in _COUNTERS:
            getattr(tally, name).update(state["counters"][name])
        tally.links.update(state["links"])
        for code, version, count in state["licences"]:
            tally.licences[None if code is None else Licence(code, version)] = count
        return tally


_COUNTERS = ("labels", "sources", "formats", "splits", "decisions")


def _key(licence: Licence | None) -> tuple[str | None, str | None]:
    return (None, None) if licence is None else (licence.code, licence.version)


def _digest(entry: Entry) -> int:
    licence = _key(entry.licence)
    told = (entry.sha256, entry.label, entry.split or "", entry.decision or "", *(each or "" for each in licence))
    return int.from_bytes(hashlib.sha256("\0".join(told).encode()).digest(), "big")
