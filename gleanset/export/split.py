"""Splits of a dataset: train, validation and test, or folds. docs/exports.md tells what is guaranteed, and why so.

Images that belong together (see `related`) are a group, and a group goes to one split as a whole. Its key is the
smallest SHA-256 in it; the key and the seed give its place in the order of its label. Cut in the proportion of the
shares, the order of each label gives splits that are stratified, the same for the same images whatever their order,
and close to what they were when images come or go. To keep them exactly, an earlier version is given: what is in it
keeps its split, and only newcomers are placed, where their label lacks most.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gleanset.errors import ExportError
from gleanset.export.related import Numbers, Prints, Traits, as_text, related

LEFT_OUT = -1
"""The split of an image that is in none, because it would leak out of a fixed one."""
MOST_SPLITS = 100
LEAST_SHARE, MOST_SHARE = 0.000001, 1_000_000

Splits = NDArray[np.int8]
Hashes = NDArray[np.uint8]
_NAME = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)$)[a-z][a-z0-9_]{0,29}")  # not what Windows keeps for devices
_OPEN = -2  # a group that has no split yet
_TINY = 1e-9  # instead of nothing, where something is divided by it
_FEW = 10  # labels of fewer groups are put together: they cannot be cut in proportion


def check_name(name: str) -> str:
    """The name of a split, which is a folder, a column's value and a name in Python. Raises ExportError."""
    if not _NAME.fullmatch(name):
        raise ExportError(f"A split has a name such as train: up to 30 of a-z, 0-9 and _, not {name[:50]!r}.")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """What is asked for: `shares` of each split by name, in any unit.

    `fixed` names a split whose images are given: it has exactly these, and the others divide its share.
    """

    shares: Mapping[str, float]
    seed: int = 0
    near_duplicates: bool = True
    series: bool = True
    fixed: str | None = None

    def __post_init__(self) -> None:
        for name in self.names:
            check_name(name)
        if not 1 <= len(self.names) <= MOST_SPLITS:
            raise ExportError(f"A dataset has from 1 to {MOST_SPLITS} splits, not {len(self.names)}.")
        if not all(LEAST_SHARE <= share <= MOST_SHARE for share in self.shares.values()):
            raise ExportError(f"The share of a split is a number from {LEAST_SHARE:f} to {MOST_SHARE:,}.")
        if not self.portions().any():
            raise ExportError(f"Beside the fixed split {self.fixed!r} there has to be one for all other images.")

    @classmethod
    def folds(cls, count: int, **options: Any) -> Self:
        """So many equal parts for cross-validation, `fold_1` and so on."""
        digits = len(str(count))
        return cls(shares={f"fold_{n:0{digits}}": 1.0 for n in range(1, count + 1)}, **options)

    @property
    def names(self) -> tuple[str, ...]:
        """The largest first, in whatever order they were given; a fixed one without a share last."""
        shares = sorted(self.shares, key=lambda name: (-self.shares[name], name))
        return tuple(dict.fromkeys((*shares, *([self.fixed] if self.fixed is not None else []))))

    def portions(self) -> NDArray[np.float64]:
        """Of all images that are in no fixed split: the part of each split, in the order of `names`."""
        given = np.array([0.0 if name == self.fixed else self.shares[name] for name in self.names])
        return given / max(given.sum(), _TINY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Where each image goes: an index into `names`, or LEFT_OUT. `group`: the first 8 bytes of its group's key.

    `moved`: images that are not where the earlier version has them, because a newcomer ties their group to another.
    """

    names: tuple[str, ...]
    split: Splits
    group: Prints
    moved: int = 0

    @property
    def left_out(self) -> int:
        return int((self.split == LEFT_OUT).sum())

    def counts(self) -> dict[str, int]:
        """Images of each split."""
        return {name: int((self.split == number).sum()) for number, name in enumerate(self.names)}


def assign(
    traits: Traits, plan: SplitPlan, *, earlier: Mapping[str, Hashes] | None = None, fixed: Hashes | None = None
) -> Assignment:
    """Divide the images; `earlier` has the SHA-256 hashes (m x 32 bytes) of each split of an earlier version.

    Images of `fixed` make up the plan's fixed split. Others of their groups are left out: elsewhere they would leak.
    """
    names = plan.names
    members, group = np.unique(
        related(traits, near_duplicates=plan.near_duplicates, series=plan.series), return_inverse=True
    )
    keys = traits.sha256[:, :8].copy().view(">u8").reshape(-1).astype(np.uint64)
    key = np.full(len(members), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(key, group, keys)

    pinned = (
        _among(traits.sha256, fixed) if fixed is not None and plan.fixed is not None else np.zeros(len(group), bool)
    )
    kept = _kept(traits.sha256, earlier or {}, names, plan.fixed)
    groups = _Groups(
        label=_most(group, np.unique(traits.label, return_inverse=True)[1], len(members)),
        size=np.bincount(group, minlength=len(members)),
        order=_mixed(key, plan.seed),
        split=_most(group[kept >= 0], kept[kept >= 0], len(members), none=_OPEN).astype(np.int8),
    )
    closed = np.zeros(len(members), bool)
    closed[group[pinned]] = True
    groups.split[closed] = LEFT_OUT
    _place(groups, plan, np.unique(traits.label))

    split = groups.split[group]
    if plan.fixed is not None:
        split[pinned] = names.index(plan.fixed)
    moved = int(((kept >= 0) & (split != kept) & (split != LEFT_OUT) & ~pinned).sum())
    return Assignment(names=names, split=split, group=key[group], moved=moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """A group a row: the number of its label, its images, its place in the label's order, and its split."""

    label: Numbers
    size: Numbers
    order: Prints
    split: Splits


def _place(groups: _Groups, plan: SplitPlan, labels: Prints) -> None:
    """Give every open group a split, label by label: first those too large to fall where they may."""
    portions = plan.portions()
    least = float(portions[portions > 0].min())
    counted = groups.split != LEFT_OUT
    # A label that has not even a group for each share of the smallest split is cut with its like.
    has = np.bincount(groups.label[counted], minlength=len(labels))
    own = has >= min(_FEW, math.ceil(1 / least))
    prints = np.concatenate([np.zeros(1, np.uint64), labels[own]])
    stratum = np.where(own, np.cumsum(own), 0)[groups.label]

    total = np.bincount(stratum[counted], groups.size[counted], len(prints))
    needs = np.outer(total, portions)
    placed = groups.split >= 0
    np.subtract.at(needs, (stratum[placed], groups.split[placed]), groups.size[placed])

    large = (groups.split == _OPEN) & (groups.size > 1) & (groups.size > 2 * least * total[stratum])
    numbers = np.flatnonzero(large)
    for number in numbers[np.lexsort((groups.order[numbers], -groups.size[numbers], stratum[numbers]))]:
        lacking = needs[stratum[number]]
        where = np.flatnonzero((lacking >= lacking.max() - 1e-9) & (portions > 0))
        groups.split[number] = where[int(groups.order[number]) % len(where)]
        lacking[groups.split[number]] -= groups.size[number]
    _cut(groups, stratum, needs, _mixed(prints, plan.seed))


def _cut(groups: _Groups, stratum: Numbers, needs: NDArray[np.float64], turns: Prints) -> None:
    """Divide the open groups of each stratum, in their order, in proportion to what the splits need.

    The order is a circle that begins at a place of the stratum's own. Were it a line, the small splits would go away
    empty from every label that has less than two of their shares.
    """
    numbers = np.flatnonzero(groups.split == _OPEN)
    if not len(numbers):
        return
    numbers = numbers[np.lexsort((groups.order[numbers], stratum[numbers]))]
    of, size = stratum[numbers], groups.size[numbers].astype(np.float64)
    whole = np.bincount(of, size, len(needs))
    before = np.cumsum(whole) - whole
    middle = (np.cumsum(size) - size / 2 - before[of]) / whole[of]
    place = (middle + turns[of] / 2.0**64) % 1.0
    needs = np.maximum(needs, 0.0)
    ends = np.cumsum(needs, axis=1) / np.maximum(needs.sum(axis=1, keepdims=True), _TINY)
    last = needs.shape[1] - 1 - np.argmax(needs[:, ::-1] > 0, axis=1)  # whatever rounding does, not to one with no need
    split = np.zeros(len(numbers), np.int64)
    for number in range(needs.shape[1]):
        split += place >= ends[of, number]
    groups.split[numbers] = np.minimum(split, last[of])


def _kept(hashes: Hashes, earlier: Mapping[str, Hashes], names: tuple[str, ...], fixed: str | None) -> Splits:
    """Where the earlier version has each image; LEFT_OUT when it has not."""
    kept = np.full(len(hashes), LEFT_OUT, np.int8)
    for number, name in enumerate(names):
        if name in earlier and name != fixed:
            kept[_among(hashes, earlier[name])] = number
    return kept


def _among(hashes: Hashes, wanted: Hashes) -> NDArray[np.bool_]:
    """Which of the hashes are wanted."""
    if not len(wanted):
        return np.zeros(len(hashes), bool)
    texts, ordered = as_text(hashes), np.sort(as_text(wanted))
    at = np.minimum(np.searchsorted(ordered, texts), len(ordered) - 1)
    return ordered[at] == texts


def _most(group: Numbers, values: NDArray[np.integer[Any]], size: int, none: int = 0) -> Numbers:
    """For each of `size` groups the value that most members have, the smallest of several; `none` without members."""
    most = np.full(size, none, np.int64)
    if len(group):
        width = int(values.max()) + 1
        pairs, counts = np.unique(group * width + values, return_counts=True)
        of, value = np.divmod(pairs, width)
        order = np.lexsort((-value, counts, of))  # the last of each group wins
        most[of[order]] = value[order]
    return most


def _mixed(numbers: Prints, seed: int) -> Prints:
    """Numbers that look like chance, another for each seed: the finaliser of splitmix64 (Steele, Lea, Flood, 2014)."""
    mixed = numbers + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
