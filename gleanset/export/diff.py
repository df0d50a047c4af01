"""What was added, removed and changed from one export to another, by the rows of their metadata.

An image is the same when it has the same address; what has another address is the same when it has the same bytes. Of
an image that was packed resized, the bytes are those of the picture that the copy was made from, where the row tells
them. Of each row eleven numbers of 64 bits are kept, so a million rows take 88 MB; rows are read again to be shown.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gleanset.export.paper_names import ORIGIN
from gleanset.export.reading import Package
from gleanset.export.table_reading import Row, Rows, original_sha256

_CREDIT = ("title", "creator", "attribution", "source_page")
_COMPARED = ("label", "split", "licence", "decision", *_CREDIT)
_FIELDS = ("original_url", "original_sha256", "sha256", *_COMPARED)
TOGETHER = {"licence": ("licence", "licence_version", "licence_url"), "creator": ("creator", "creator_url")}
"""Columns that are told as one, by the first of them."""
CHANGES = ("bytes", "resized", "address", *_COMPARED)
"""What may be another for one image."""
_MOST_ORIGIN = 64 * 1024 * 1024
_BATCH = 10_000
_MASK = (1 << 64) - 1
_UNTOLD = 0
"""Of what an export without metadata does not say, so that nobody knows whether it has changed."""

Numbers = NDArray[np.uint64]
"""One row for each row of metadata, one column for each of `_FIELDS`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One image that is not the same. `what`: added, removed, or some of CHANGES; before and after are its rows."""

    what: tuple[str, ...]
    before: Row | None
    after: Row | None


@dataclass(slots=True)
class Diff:
    """Counts of images, `changed` by what changed of them; one image may count in several. `listed` are the first.

    `before` and `after`: what each export says of where it comes from.
    """

    added: int = 0
    removed: int = 0
    same: int = 0
    changed: int = 0
    by_change: dict[str, int] = field(default_factory=dict[str, int])
    listed: list[Difference] = field(default_factory=list[Difference])
    before: Row = field(default_factory=dict[str, Any])
    after: Row = field(default_factory=dict[str, Any])

    @property
    def options(self) -> dict[str, tuple[Any, Any]]:
        """Options of the exports that are not the same, as they were and as they are."""
        one, other = _options(self.before), _options(self.after)
        both = {name: (one.get(name), other.get(name)) for name in sorted({*one, *other})}
        return {name: values for name, values in both.items() if values[0] != values[1]}


def diff(before: Package, after: Package, listed: int = 100) -> Diff:
    """Compare two exports; `listed` images of each kind are told with their rows. Raises NotAnExport, ExportDamaged."""
    rows_before, rows_after = Rows(before), Rows(after)
    old, new = _numbers(rows_before), _numbers(rows_after)
    pairs, removed, added = _matched(old, new)
    origins = _origin(before), _origin(after)
    changes = _changes(old, new, pairs, bytes_told=_bytes_told(*origins))
    changed = changes.any(axis=1)
    found = Diff(len(added), len(removed), int((~changed).sum()), int(changed.sum()))
    found.by_change = {name: int(changes[:, n].sum()) for n, name in enumerate(CHANGES)}
    found.before, found.after = origins
    shown = np.flatnonzero(changed)[:listed]
    told_before = _rows_at(rows_before, {*map(int, removed[:listed]), *map(int, pairs[shown, 0])})
    told_after = _rows_at(rows_after, {*map(int, added[:listed]), *map(int, pairs[shown, 1])})
    for at in map(int, added[:listed]):
        found.listed.append(Difference(("added",), None, told_after[at]))
    for at in map(int, removed[:listed]):
        found.listed.append(Difference(("removed",), told_before[at], None))
    for n in map(int, shown):
        what = tuple(name for name, is_so in zip(CHANGES, changes[n], strict=True) if is_so)
        one, other = int(pairs[n, 0]), int(pairs[n, 1])
        found.listed.append(Difference(what, told_before[one], told_after[other]))
    return found


def _matched(old: Numbers, new: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of rows by address and then by bytes; the rest of the old, and of the new."""
    left, right = np.arange(len(old)), np.arange(len(new))
    found: list[NDArray[np.int64]] = []
    for column in (0, 1):
        one, other = _paired(old[left, column], new[right, column])
        found.append(np.stack([left[one], right[other]], axis=1))
        left, right = np.delete(left, one), np.delete(right, other)
    pairs = np.concatenate(found)
    return pairs[np.argsort(pairs[:, 0], kind="stable")], left, right


def _paired(one: Numbers, other: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of equal numbers, each place once: the n-th of a number here goes with the n-th of it there."""
    places: list[NDArray[np.int64]] = []
    keys: list[Numbers] = []
    for values in (one, other):
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        first = np.searchsorted(ordered, ordered, side="left")
        nth = (np.arange(len(ordered)) - first).astype(np.uint64)
        keys.append(ordered * np.uint64(0x9E3779B97F4A7C15) + nth * np.uint64(0xD1B54A32D192ED03))
        places.append(order)
    _, here, there = np.intersect1d(keys[0], keys[1], return_indices=True)
    return places[0][here], places[1][there]


def _changes(old: Numbers, new: Numbers, pairs: NDArray[np.int64], *, bytes_told: bool) -> NDArray[np.bool_]:
    """For each pair whether each of CHANGES is so."""
    one, other = old[pairs[:, 0]], new[pairs[:, 1]]
    differs = one != other
    differs &= (one != _UNTOLD) & (other != _UNTOLD)
    differs[:, 1] &= bytes_told
    differs[:, 2] &= ~differs[:, 1]
    return differs[:, [1, 2, 0, *range(3, len(_FIELDS))]]  # in the order of CHANGES


def _bytes_told(before: Row, after: Row) -> bool:
    """Whether rows tell if the server has another picture: copies that were packed without metadata tell nothing of
    what they were made from, and only copies of one kind compare."""
    one, other = _options(before), _options(after)
    hidden = any(each.get("resize") and each.get("include_metadata") is False for each in (one, other))
    return not hidden or one.get("resize") == other.get("resize")


def _options(told: Row) -> Row:
    options: object = told.get("options")
    return cast("Row", options) if isinstance(options, dict) else {}


def _numbers(rows: Rows) -> Numbers:
    batches: list[Numbers] = []
    batch: list[int] = []
    for row in rows:
        batch.extend(_hashes(row))
        if len(batch) >= _BATCH * len(_FIELDS):
            batches.append(np.array(batch, np.uint64))
            batch.clear()
    batches.append(np.array(batch, np.uint64))
    return np.concatenate(batches).reshape(-1, len(_FIELDS))


def _hashes(row: Row) -> Iterator[int]:
    for name in _FIELDS:
        if name in _CREDIT and name not in row:
            yield _UNTOLD
            continue
        if name == "original_sha256":
            yield hash(original_sha256(row) or row.get("sha256") or None) & _MASK
            continue
        together = TOGETHER.get(name)
        told = [row.get(each) or None for each in together] if together else row.get(name) or None
        yield hash(told if isinstance(told, str) else repr(told)) & _MASK  # within a process it stays what it is


def _rows_at(rows: Rows, wanted: Collection[int]) -> dict[int, Row]:
    """Some rows, by their number from 0 on."""
    if not wanted:
        return {}
    last = max(wanted)
    found: dict[int, Row] = {}
    for at, row in enumerate(rows):
        if at in wanted:
            found[at] = row
        if at == last:
            break
    return found


def _origin(package: Package) -> Row:
    """What the export tells of its origin; nothing for one that tells nothing."""
    for part in package.parts():
        if part.name == ORIGIN and part.is_safe and part.size <= _MOST_ORIGIN:
            try:
                told = json.loads(b"".join(part.blocks()))
            except (ValueError, RecursionError):
                return {}
            return cast("Row", told) if isinstance(told, dict) else {}
    return {}
