"""Grouping of hashes, held to comparing all with all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gleanset import similar
from gleanset.similar import everyone, groups, near_pairs
from gleanset.similar.pieces import all_with_all, plan_of

Hashes = NDArray[np.uint8]
Random = np.random.Generator


def distances(hashes: Hashes) -> NDArray[np.int64]:
    """All with all, bit by bit."""
    bits = np.unpackbits(hashes, axis=1).astype(np.float32)  # whole numbers, which a BLAS multiplies
    return (bits @ (1 - bits).T + (1 - bits) @ bits.T).astype(np.int64)


def expected_groups(near: NDArray[np.bool_]) -> list[int]:
    """The smallest index that each may be reached from, step by step."""
    groups = np.arange(len(near))
    while len(near):
        reached = np.array([groups[row].min() for row in near])
        if np.array_equal(reached, groups):
            break
        groups = reached[reached]
    return groups.tolist()


def random(rng: Random, count: int) -> Hashes:
    return rng.integers(0, 256, (count, 32), dtype=np.uint8)


def flipped(rng: Random, hashes: Hashes, most: int) -> Hashes:
    """Each with up to `most` bits turned."""
    bits = np.unpackbits(hashes, axis=1)
    for row in bits:
        row[rng.choice(256, rng.integers(0, most + 1), replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def planted(rng: Random, count: int) -> Hashes:
    """Strangers, copies about as far away as the threshold, and copies of copies."""
    half = random(rng, count // 2)
    copies = flipped(rng, half, 36)
    return rng.permutation(np.concatenate([half, copies, flipped(rng, copies[: count // 8], 36)]))


def chain(rng: Random, count: int) -> Hashes:
    """Each 31 bits from the one before, in random places: ends that have nothing in common hang together."""
    rows = [random(rng, 1)[0]]
    while len(rows) < count:
        bits = np.unpackbits(rows[-1])
        bits[rng.choice(256, 31, replace=False)] ^= 1
        rows.append(np.packbits(bits))
    return rng.permutation(np.array(rows))


def plain(rng: Random, count: int) -> Hashes:
    """Of pictures with hardly anything in them: few bits are set, and most hashes are near each other."""
    return np.packbits((rng.random((count, 256)) < rng.random((count, 1)) * 0.2).astype(np.uint8), axis=1)


def half_equal(rng: Random, count: int) -> Hashes:
    """One half of the bits is the same for all, as of pictures with a common frame."""
    hashes = random(rng, count)
    hashes[:, :16] = hashes[0, :16]
    return hashes


def edge(rng: Random, count: int) -> Hashes:
    """Pairs that are exactly 31 or 32 bits apart, the bits in one run: the worst case for pieces of a hash."""
    hashes = random(rng, count // 2)
    bits = np.unpackbits(hashes, axis=1)
    for number, row in enumerate(bits):
        start = int(rng.integers(0, 256 - 32))
        row[start : start + 31 + number % 2] ^= 1
    return np.concatenate([hashes, np.packbits(bits, axis=1)])


def crowded(rng: Random, count: int) -> Hashes:
    """Two large groups that have most bits in common, and strangers between them that have these bits too."""
    middle = np.zeros((count, 256), np.uint8)
    middle[: count // 2, :40] = 1
    middle[count // 3 : count // 2] ^= (rng.random((count // 2 - count // 3, 256)) < 0.12).astype(np.uint8)
    return flipped(rng, np.packbits(rng.permutation(middle), axis=1), 10)


def repeated(rng: Random, count: int) -> Hashes:
    """The same hashes again and again, and copies of them."""
    hashes = random(rng, count // 20)
    return flipped(rng, hashes[rng.integers(0, len(hashes), count)], 3)


KINDS: list[Callable[[Random, int], Hashes]] = [random, planted, chain, plain, half_equal, edge, crowded, repeated]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("distance", [0, 1, 15, 31, 32, 60, 100, 255])
def test_it_finds_what_comparing_all_with_all_finds(kind: Callable[[Random, int], Hashes], distance: int) -> None:
    hashes = kind(np.random.default_rng(distance), 200)
    apart = distances(hashes)
    want = {(i, j, int(apart[i, j])) for i, j in zip(*np.nonzero(np.triu(apart <= distance, 1)), strict=True)}
    found = [
        (int(i), int(j), int(d)) for arrays in near_pairs(hashes, distance) for i, j, d in zip(*arrays, strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == want
    assert groups(hashes, distance).tolist() == expected_groups(apart <= distance)


@pytest.mark.parametrize("pieces", [13, 16])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_tables_find_what_comparing_all_with_all_finds(
    kind: Callable[[Random, int], Hashes], pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pieces as large sets have them, of which one or two bits may be flipped, and crowds that are crowds."""
    monkeypatch.setattr(similar, "plan_for", lambda _, bits, distance: plan_of(pieces, bits, distance))
    hashes = kind(np.random.default_rng(pieces), 600)
    near = distances(hashes) <= 31
    want = np.flatnonzero(np.triu(near, 1))
    found = [one * len(hashes) + other for one, other, _ in near_pairs(hashes)]
    assert np.array_equal(np.sort(np.concatenate([*found, []])), want)
    assert groups(hashes).tolist() == expected_groups(near)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.integers(0, 2**256 - 1), min_size=0, max_size=30),
    turns=st.lists(st.tuples(st.integers(0, 29), st.sets(st.integers(0, 255), max_size=34)), max_size=40),
    distance=st.integers(0, 64),
)
def test_it_finds_what_anybody_may_think_of(rows: list[int], turns: list[tuple[int, set[int]]], distance: int) -> None:
    for number, places in turns:
        if rows:
            rows.append(rows[number % len(rows)] ^ sum(1 << place for place in places))
    given_ = [row.to_bytes(32, "big") for row in rows]
    near = np.array([[(a ^ b).bit_count() <= distance for b in rows] for a in rows], bool).reshape(len(rows), len(rows))
    assert groups(given_, distance).tolist() == expected_groups(near)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads: int) -> None:
    hashes = planted(np.random.default_rng(7), 4000)
    assert groups(hashes, threads=threads).tolist() == groups(hashes, threads=1).tolist()


def test_many_equal_hashes_are_one_group() -> None:
    hashes = np.repeat(random(np.random.default_rng(1), 2), 50_000, axis=0)
    assert np.array_equal(groups(hashes), np.repeat([0, 50_000], 50_000))


def test_a_large_group_of_plain_pictures_is_not_looked_at_pair_by_pair() -> None:
    """Five thousand million pairs are near here; looked at one by one they would take minutes."""
    hashes = flipped(np.random.default_rng(3), np.zeros((100_000, 32), np.uint8), 14)
    assert not groups(hashes).any()


def few_bits(rng: Random, count: int) -> Hashes:
    """Only 80 bits vary: few pairs are near, and yet all hang together."""
    bits = np.zeros((count, 256), np.uint8)
    bits[:, rng.choice(256, 80, replace=False)] = rng.integers(0, 2, (count, 80))
    return np.packbits(bits, axis=1)


def rarely_set(share: float) -> Callable[[Random, int], Hashes]:
    """Of which few bits are set, in any places."""
    return lambda rng, count: np.packbits((rng.random((count, 256)) < share).astype(np.uint8), axis=1)


def half_plain(rng: Random, count: int) -> Hashes:
    return rng.permutation(np.concatenate([random(rng, count // 2), rarely_set(0.1)(rng, count - count // 2)]))


DEGENERATE: dict[str, Callable[[Random, int], Hashes]] = {
    "few bits": few_bits, "0.05": rarely_set(0.05), "0.1": rarely_set(0.1), "0.15": rarely_set(0.15), "plain": plain,
    "half plain": half_plain, "crowded": crowded, "chain": chain, "planted": planted,
}  # fmt: skip


@pytest.mark.parametrize("kind", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("size", [2, 17, 2100])
def test_comparing_all_in_blocks_finds_what_comparing_them_bit_by_bit_does(
    kind: Callable[[Random, int], Hashes], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that are smaller than the set, of rows that hang together and rows that do not."""
    monkeypatch.setattr(similar, "plan_for", lambda _, bits, distance: all_with_all(bits, distance))
    monkeypatch.setattr(everyone, "_WIDTH", 100)
    monkeypatch.setattr(everyone, "_AT_ONCE", 32)
    hashes = kind(np.random.default_rng(size), size)
    near = distances(hashes) <= 31
    for threads in (1, 3):
        assert groups(hashes, threads=threads).tolist() == expected_groups(near)


@pytest.mark.parametrize("kind", [few_bits, rarely_set(0.1), plain], ids=["few bits", "0.1", "plain"])
def test_many_plain_hashes_do_not_blow_up(kind: Callable[[Random, int], Hashes]) -> None:
    """Which took half a minute each, where faiss compares all with all in seven seconds. Of some, all is looked at."""
    hashes = kind(np.random.default_rng(5), 60_000)
    found = groups(hashes)
    assert (found[found] == found).all()
    assert (found <= np.arange(len(found))).all()
    words = hashes.view(np.uint64)
    alone = np.bincount(found)[found] == 1
    some = np.concatenate([np.flatnonzero(alone)[:200], np.flatnonzero(~alone)[:200]])
    for number in some.tolist():
        near = np.bitwise_count(words ^ words[number]).sum(axis=1, dtype=np.int64) <= 31
        assert (found[near] == found[number]).all()
        assert near.sum() > 1 or alone[number]


def test_two_large_groups_side_by_side_are_not_looked_at_pair_by_pair() -> None:
    rng = np.random.default_rng(4)
    middle = np.zeros((20_000, 256), np.uint8)
    middle[::2, rng.choice(256, 60, replace=False)] = 1
    found = groups(flipped(rng, np.packbits(middle, axis=1), 12))
    assert set(found[::2].tolist()) == {0}
    assert set(found[1::2].tolist()) == {1}


def test_nothing_has_no_groups() -> None:
    assert groups([]).tolist() == []
    assert groups([b"\0" * 32]).tolist() == [0]


def test_what_is_no_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        groups([b"\0" * 31])
    with pytest.raises(ValueError, match="n x 32"):
        groups(np.zeros((3, 8), np.uint8))
    with pytest.raises(ValueError, match="0 to 255"):
        groups([b"\0" * 32], 256)
