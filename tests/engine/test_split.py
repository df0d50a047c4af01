"""Splits: what belongs together stays together, labels are cut in proportion, and what has a place keeps it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.errors import ExportError
from gleanset.export.related import Traits, fingerprint, name_of, related, series_of
from gleanset.export.split import LEFT_OUT, Assignment, SplitPlan, assign
from gleanset.inspect import inspect
from gleanset.types import Inspection
from tests.photos import Pixels

THREE = {"train": 80.0, "validation": 10.0, "test": 10.0}


@dataclass(frozen=True)
class Picture:
    """A picture of a made-up dataset: `look` and how many bits its hash is away from that look's."""

    name: str
    label: str = "cat"
    creator: str | None = None
    page: str | None = None
    look: int | None = None
    bits: int = 0
    quality: int = 90
    brightness: float = float("nan")  # and contrast and colour

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.name.encode()).digest()

    @property
    def pdq(self) -> bytes:
        seen = self.name if self.look is None else f"look {self.look}"
        flipped = int.from_bytes(hashlib.sha256(seen.encode()).digest()) ^ ((1 << self.bits) - 1)
        return flipped.to_bytes(32)

    def belongs_to(self, other: Picture) -> bool:
        """What the documents say of images that belong together, in so many words."""
        telling = self.quality >= 50 and other.quality >= 50
        apart = (int.from_bytes(self.pdq) ^ int.from_bytes(other.pdq)).bit_count()
        named = self.creator is not None and self.creator == other.creator
        series = self.page == other.page is not None or (named and None in (self.page, other.page))
        return self.name == other.name or series or (telling and apart <= 31)


def traits(pictures: Sequence[Picture]) -> Traits:
    return Traits(
        sha256=np.frombuffer(b"".join(p.sha256 for p in pictures), np.uint8).reshape(-1, 32),
        label=np.array([fingerprint(p.label) for p in pictures], np.uint64),
        series=np.array([series_of("flickr", p.creator, p.page) for p in pictures], np.uint64),
        name=np.array([name_of("flickr", p.creator) for p in pictures], np.uint64),
        pdq=np.frombuffer(b"".join(p.pdq for p in pictures), np.uint8).reshape(-1, 32),
        pdq_quality=np.array([p.quality for p in pictures], np.uint8),
        measures=np.array([[p.brightness] * 3 for p in pictures], np.float32).reshape(-1, 3),
    )


def hashes(pictures: Sequence[Picture]) -> Any:
    return np.frombuffer(b"".join(p.sha256 for p in pictures), np.uint8).reshape(-1, 32)


def by_split(pictures: Sequence[Picture], made: Assignment) -> dict[str, Any]:
    """Hashes of each split, as the next version is told of this one."""
    return {name: hashes([p for p, s in zip(pictures, made.split, strict=True) if s == n])
            for n, name in enumerate(made.names)}  # fmt: skip


def splits_of(pictures: Sequence[Picture], made: Assignment) -> dict[str, int]:
    return {p.name: int(s) for p, s in zip(pictures, made.split, strict=True)}


def check_no_leak(pictures: Sequence[Picture], made: Assignment) -> None:
    """All with all, by the pictures themselves."""
    for (one, a), (other, b) in combinations(zip(pictures, made.split.tolist(), strict=True), 2):
        if one.belongs_to(other) and LEFT_OUT not in (a, b):
            assert a == b, (one, other)


def groups_of(pictures: Sequence[Picture]) -> list[set[str]]:
    groups: list[set[str]] = []
    for picture in pictures:
        near = [g for g in groups if any(picture.belongs_to(p) for p in pictures if p.name in g)]
        groups = [g for g in groups if g not in near] + [{picture.name}.union(*near)]
    return groups


@st.composite
def pictures(draw: st.DrawFn, prefix: str = "p", most: int = 40) -> list[Picture]:
    """Pictures that are chained by looks and creators, some of them twice."""
    made = [
        Picture(
            name=f"{prefix}{draw(st.integers(0, 2 * most))}",
            label=draw(st.sampled_from("abc")),
            creator=draw(st.sampled_from([None, None, "Ann", "Bob", "Cleo", "Dan"])),
            page=draw(st.sampled_from([None, None, None, "https://f.example/1", "https://f.example/2"])),
            look=draw(st.sampled_from([None, None, 1, 2, 3, 4])),
            bits=draw(st.sampled_from([0, 5, 30, 33, 60])),
            quality=draw(st.sampled_from([10, 49, 50, 100])),
        )
        for _ in range(draw(st.integers(0, most)))
    ]
    # The same bytes have the same creator and look wherever they are found; labels may differ.
    first = {p.name: p for p in reversed(made)}
    fields = ("creator", "page", "look", "bits", "quality")
    return [Picture(p.name, p.label, *[getattr(first[p.name], field) for field in fields]) for p in made]


plans = st.one_of(
    st.just(SplitPlan(shares=THREE)),
    st.builds(SplitPlan.folds, st.integers(2, 7), seed=st.integers(0, 2**64)),
    st.builds(lambda s: SplitPlan(shares=s), st.dictionaries(st.sampled_from("uvwx"), st.floats(0.01, 9), min_size=1)),
)  # fmt: skip


@settings(deadline=None, max_examples=25)
@given(pictures(), plans, st.randoms())
def test_what_belongs_together_is_in_one_split_in_whatever_order(
    found: list[Picture], plan: SplitPlan, random: Any
) -> None:
    made = assign(traits(found), plan)
    check_no_leak(found, made)
    assert LEFT_OUT not in made.split
    assert sum(made.counts().values()) == len(found)
    shuffled = random.sample(found, len(found))
    assert splits_of(shuffled, assign(traits(shuffled), plan)) == splits_of(found, made)
    groups = {frozenset(p.name for p, g in zip(found, made.group, strict=True) if g == group) for group in made.group}
    assert groups == set(map(frozenset, groups_of(found)))


@settings(deadline=None, max_examples=25)
@given(pictures("old"), pictures("new"), plans)
def test_a_grown_dataset_keeps_every_image_whose_group_was_not_tied_to_another(
    old: list[Picture], new: list[Picture], plan: SplitPlan
) -> None:
    before = assign(traits(old), plan)
    grown = new + old
    after = assign(traits(grown), plan, earlier=by_split(old, before))
    check_no_leak(grown, after)
    was, now = splits_of(old, before), splits_of(grown, after)
    moved = 0
    for group in groups_of(grown):
        kept = [was[p.name] for p in old if p.name in group]
        if len(set(kept)) == 1:
            assert {now[name] for name in group} == set(kept)
        elif kept:  # a newcomer ties groups of several splits: all go where most of them are
            [together] = {now[name] for name in group}
            assert Counter(kept)[together] == max(Counter(kept).values())
            moved += sum(each != together for each in kept)
    assert after.moved == moved


@settings(deadline=None, max_examples=25)
@given(pictures("old"), pictures("new"), st.sets(st.integers(0, 39)), st.booleans())
def test_a_fixed_split_is_exactly_what_was_given_and_nothing_leaks_out_of_it(
    old: list[Picture], new: list[Picture], chosen: set[int], told: bool
) -> None:
    test = [p for n, p in enumerate(old) if n in chosen]
    gone = [Picture("not there any more")]
    plan = SplitPlan(shares=THREE if told else {"train": 8, "validation": 1}, fixed="test")
    found = old + new
    earlier = by_split(old, assign(traits(old), SplitPlan(shares=THREE)))
    made = assign(traits(found), plan, earlier=earlier, fixed=hashes(gone + test))
    names = {p.name for p in test}
    now = splits_of(found, made)
    number = made.names.index("test")
    assert {name for name, split in now.items() if split == number} == names
    check_no_leak(found, made)
    related = set().union(*(group for group in groups_of(found) if group & names)) - names
    assert {name for name, split in now.items() if split == LEFT_OUT} == related
    assert made.left_out == sum(p.name in related for p in found)


def population(sizes: Sequence[int], label: str) -> list[Picture]:
    """Series of so many pictures each."""
    return [
        Picture(f"{label} {n} {m}", label, creator=f"{label} {n}") for n, size in enumerate(sizes) for m in range(size)
    ]


def per_label(found: Sequence[Picture], made: Assignment) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for picture, split in zip(found, made.split.tolist(), strict=True):
        counts[picture.label][made.names[split]] += 1
    return counts


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(10, 300), min_size=1, max_size=6), plans, st.integers(0, 1000))
def test_labels_of_single_images_are_cut_to_the_image(sizes: list[int], plan: SplitPlan, salt: int) -> None:
    found = [Picture(f"{salt} {label} {n}", str(label)) for label, size in enumerate(sizes) for n in range(size)]
    counts = per_label(found, assign(traits(found), replace(plan, near_duplicates=False)))
    for label, size in enumerate(sizes):
        for name, portion in zip(plan.names, plan.portions(), strict=True):
            assert abs(counts[str(label)][name] - portion * size) < 1 + 1e-6


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from([1, 1, 2, 3, 7, 40]), min_size=10, max_size=60), min_size=1, max_size=4), plans
)
def test_labels_of_groups_are_cut_to_the_size_of_the_largest_group(sizes: list[list[int]], plan: SplitPlan) -> None:
    found = [p for label, each in enumerate(sizes) for p in population(each, str(label))]
    counts = per_label(found, assign(traits(found), replace(plan, near_duplicates=False)))
    least = plan.portions().min()
    for label, each in enumerate(sizes):
        free = max(each) <= max(1, 2 * least * sum(each))  # no group is too large to fall where it may
        bound = max(each) * (1 if free else len(plan.names))
        for name, portion in zip(plan.names, plan.portions(), strict=True):
            assert abs(counts[str(label)][name] - portion * sum(each)) <= bound + 1e-6


def test_a_creator_of_nearly_all_does_not_take_the_small_splits() -> None:
    for salt in range(20):
        found = population([400, *[1] * 600], f"birds {salt}")
        made = assign(traits(found), SplitPlan(shares=THREE))
        assert made.counts() == pytest.approx({"train": 800, "validation": 100, "test": 100}, abs=2)
        assert {made.names[s] for s in made.split[:400]} == {"train"}


@pytest.mark.parametrize("size", [1, 3, 4])
def test_many_small_labels_are_divided_in_proportion_together(size: int) -> None:
    found = [Picture(f"{label} {n}", str(label)) for label in range(6000 // size) for n in range(size)]
    counts = assign(traits(found), SplitPlan(shares=THREE, near_duplicates=False)).counts()
    assert counts == pytest.approx({"train": 4800, "validation": 600, "test": 600}, abs=120)
    pairs = [p for label in range(1500) for p in population([2] * 2, str(label))]
    counts = assign(traits(pairs), SplitPlan(shares=THREE, near_duplicates=False)).counts()
    assert counts == pytest.approx({"train": 4800, "validation": 600, "test": 600}, abs=120)


def test_without_an_earlier_version_few_images_move() -> None:
    found = [Picture(str(n), label=str(n % 4)) for n in range(22_000)]
    old, grown = found[:20_000], found
    before, after = (splits_of(each, assign(traits(each), SplitPlan(shares=THREE))) for each in (old, grown))
    share = sum(before[p.name] != after[p.name] for p in old) / len(old)
    assert 0 < share < 0.02


def test_a_fixed_split_leaves_the_others_in_proportion() -> None:
    found = [Picture(str(n), label=str(n % 3)) for n in range(3000)]
    first = assign(traits(found[:2000]), SplitPlan(shares=THREE))
    earlier = by_split(found[:2000], first)
    plan = SplitPlan(shares=THREE, fixed="test")
    second = assign(traits(found), plan, earlier=earlier, fixed=earlier["test"])
    assert second.counts()["test"] == first.counts()["test"]
    assert second.counts()["train"] == pytest.approx(8 / 9 * (3000 - first.counts()["test"]), abs=5)
    assert second.moved == second.left_out == 0


def test_seeds_and_what_counts_as_related() -> None:
    found = [Picture(str(n), creator=f"c{n // 2}", look=n // 4) for n in range(800)]
    one, again, other = (assign(traits(found), SplitPlan(shares=THREE, seed=seed)) for seed in (1, 1, 2))
    assert (one.split == again.split).all()
    assert 0.2 < (one.split != other.split).mean() < 0.5
    for options, size in (({}, 4), ({"near_duplicates": False}, 2), ({"series": False}, 4),
                          ({"series": False, "near_duplicates": False}, 1)):  # fmt: skip
        made = assign(traits(found), SplitPlan(shares=THREE, **options))
        assert Counter(Counter(made.group.tolist()).values()) == {size: 800 // size}


def test_splits_do_not_change_from_version_to_version_of_the_program() -> None:
    found = [p for n in range(8) for p in population([1 + n % 5] * 9, f"label {n}")]
    made = [
        assign(traits(found), plan).split.tobytes() for plan in (SplitPlan(shares=THREE), SplitPlan.folds(5, seed=7))
    ]
    assert hashlib.sha256(b"".join(made)).hexdigest()[:16] == "a97aa2e0c9dae096"


FLICKR = "https://www.flickr.com"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("flickr", "Ann Example", None), ("flickr", "  ann  EXAMPLE ", ""), True),
        (("flickr", "Ann", None), ("wikimedia", "Ann", None), False),
        (("flickr", "Ann", "https://f.example/ann"), ("flickr", "Anna (renamed)", "https://f.example/ann/"), True),
        (("flickr", "Ann", "https://f.example/ann"), ("flickr", "Ann", "https://f.example/ann2"), False),
        (("flickr", "Ann", None), ("flickr", "Bob", None), False),
        (("openverse", "A", "https://f.example/ann"), ("flickr", "B", "http://www.F.example/ann/"), True),
        (
            ("openverse", "A", "https://flickr.com/photos/1@N00"),
            ("flickr", "A", "https://www.flickr.com/people/1@N00/"),
            True,
        ),
        (
            ("openverse", "A", "https://flickr.com/photos/1@N00/77"),
            ("flickr", "A", "https://flickr.com/people/2@N00/"),
            False,
        ),
        (("urls", "A", "https://f.example/?user=1"), ("urls", "A", "https://f.example/?user=2"), False),
        (("urls", "A", "https://f.example/#/u/1"), ("urls", "A", "https://f.example/#/u/2"), False),
        (("urls", "A", "https://f.example/#/u/1"), ("urls", "B", "http://www.f.example#/u/1"), True),
        (("urls", "A", "https://[x/ann"), ("urls", "B", " https://[x/ann"), True),
    ],
)
def test_who_makes_a_series(one: Any, other: Any, same: bool) -> None:
    assert (series_of(*one) == series_of(*other)) is same
    assert series_of(*one) != 0


def test_a_name_without_an_address_is_each_of_those_who_have_it() -> None:
    pages = ["https://f.example/ann", "https://f.example/bob1", "https://f.example/bob2", "https://f.example/bob3"]
    found = [
        Picture("a1", creator="Ann", page=pages[0]),
        Picture("a2", creator="ann "),
        Picture("a3", creator="Ann (renamed)", page=pages[0]),
        Picture("b1", creator="Bob", page=pages[1]),
        Picture("b2", creator="Bob", page=pages[2]),
        Picture("n1", creator="Unknown", page=pages[3]),
        Picture("n2", creator="unknown"),
    ]
    assert numbered(found) == [0, 0, 0, 3, 4, 5, 6]
    assert numbered([*found, Picture("b3", creator="Bob")]) == [0, 0, 0, 3, 3, 5, 6, 3]


def numbered(found: list[Picture]) -> list[int]:
    return related(traits(found)).tolist()


def test_plain_pictures_are_copies_when_their_measures_agree_too() -> None:
    plain = Picture("p0", look=1, quality=20, brightness=0.5)
    others = [
        replace(plain, name="p1", bits=28, brightness=0.504),
        replace(plain, name="p2", quality=0, brightness=0.52),
        replace(plain, name="p3", bits=60, brightness=0.5),
        replace(plain, name="p4", brightness=float("nan")),
    ]
    assert numbered([plain, *others]) == [0, 0, 2, 3, 4]
    edge = [replace(plain, name="p5", quality=52), replace(plain, name="p6", quality=48)]
    assert numbered(edge) == [0, 0]
    assert numbered([replace(plain, name=f"n{n}", bits=n % 30, brightness=n / 50) for n in range(50)]) == [*range(50)]
    assert set(numbered([replace(plain, name=f"n{n}", bits=n % 30) for n in range(3000)])) == {0}


def test_copies_of_plain_pictures_are_found_and_different_ones_are_not_put_together() -> None:
    pictures = [each for number in range(200) if seen_in(each := drawn(number)).pdq_quality < 50][:60]
    seen = [seen_in(each) for each in pictures]
    copies = [seen_in(encoded_again(each)) for each in pictures]
    found = [*seen, *copies]
    made = related(
        Traits(
            sha256=np.random.default_rng(0).integers(0, 256, (len(found), 32), np.uint8),
            label=np.zeros(len(found), np.uint64),
            series=np.zeros(len(found), np.uint64),
            name=np.zeros(len(found), np.uint64),
            pdq=np.frombuffer(b"".join(each.pdq or b"" for each in found), np.uint8).reshape(-1, 32),
            pdq_quality=np.array([each.pdq_quality for each in found], np.uint8),
            measures=np.array([[each.brightness, each.contrast, each.colour] for each in found], np.float32),
        )
    )
    assert len(np.unique(made[:60])) >= 57
    apart = [
        (int.from_bytes(a.pdq or b"") ^ int.from_bytes(b.pdq or b"")).bit_count()
        for a, b in zip(seen, copies, strict=True)
    ]
    near = np.array(apart) <= 31
    assert near.sum() >= 20
    assert (made[:60] == made[60:])[near].all()


def drawn(number: int) -> Pixels:
    """Some circle on some ground."""
    rng = np.random.default_rng(number)
    picture = np.full((300, 400, 3), rng.integers(0, 256, 3), np.uint8)
    centre = int(rng.integers(100, 300)), int(rng.integers(80, 220))
    cv2.circle(picture, centre, int(rng.integers(20, 80)), rng.integers(0, 256, 3).tolist(), -1)
    return picture


def seen_in(picture: Pixels) -> Inspection:
    found = inspect(cv2.imencode(".png", picture)[1].tobytes())
    assert isinstance(found, Inspection)
    return found


def encoded_again(picture: Pixels) -> Pixels:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize("nobody", [None, "", " ", "Unknown", "unknown  author", "(Anonymous)", "N/A", "\u3000"])
def test_who_is_nobody_makes_no_series(nobody: str | None) -> None:
    assert series_of("flickr", nobody, None) == 0
    assert series_of(None, nobody, " ") == 0


@pytest.mark.parametrize(
    ("shares", "fixed"),
    [
        *((shares, None) for shares in ({}, {f"s{n}": 1.0 for n in range(101)})),
        *(({"a": share}, None) for share in (0.0, -1.0, float("nan"), float("inf"))),
        *(({name: 1.0}, None) for name in ("Train", "a/b", "nul", "com1", "", "x" * 31)),
        ({}, "test"),
        ({"test": 1.0}, "test"),
    ],
)
def test_plans_that_cannot_be(shares: dict[str, float], fixed: str | None) -> None:
    with pytest.raises(ExportError):
        SplitPlan(shares=shares, fixed=fixed)


def test_folds_are_named_in_their_order() -> None:
    assert SplitPlan.folds(3).names == ("fold_1", "fold_2", "fold_3")
    names = SplitPlan.folds(12).names
    assert (names[0], names[-1], sorted(names)) == ("fold_01", "fold_12", list(names))
