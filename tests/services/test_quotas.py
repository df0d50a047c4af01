"""Fair parts: over labels, then keywords, then sources; and what one cannot fill goes to the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.services.quotas import hand_over, quotas, shares
from gleanset.types import Query

QUERIES = st.lists(
    st.builds(Query, source=st.sampled_from("ab"), label=st.sampled_from("xyz"), keyword=st.sampled_from("1234")),
    min_size=1,
    max_size=30,
)


@given(st.integers(0, 10_000), st.integers(1, 200))
def test_shares_are_fair_and_complete(total: int, parts: int) -> None:
    found = shares(total, parts)
    assert sum(found) == total
    assert len(found) == parts
    assert max(found) - min(found) <= 1


def test_labels_are_equal_however_many_keywords_and_sources_they_have() -> None:
    asked = [
        Query(source="openverse", label="cat", keyword="cat"),
        Query(source="openverse", label="dog", keyword="poodle"),
        Query(source="wikimedia", label="dog", keyword="poodle"),
        Query(source="openverse", label="dog", keyword="spaniel"),
    ]
    assert quotas(100, asked) == [50, 13, 12, 25]


@given(st.integers(0, 1000), QUERIES)
def test_quotas_are_complete_and_labels_differ_by_one_at_most(total: int, asked: list[Query]) -> None:
    found = quotas(total, asked)
    assert sum(found) == total
    by_label = {label: sum(q for q, a in zip(found, asked, strict=True) if a.label == label) for label in "xyz"}
    present = [count for label, count in by_label.items() if label in {a.label for a in asked}]
    assert max(present) - min(present) <= 1


@given(st.integers(0, 500), QUERIES, st.dictionaries(st.sampled_from("xyz"), st.integers(0, 300)))
def test_what_is_handed_over_is_all_of_the_room(room: int, still_open: list[Query], had: dict[str, int]) -> None:
    found = hand_over(room, dict.fromkeys("xyz", 100), had, still_open)
    assert sum(found) == room
    assert min(found) >= 0


def test_a_label_that_nobody_can_fill_is_made_up_for_by_all() -> None:
    cats = Query(source="b", label="cat", keyword="cat")
    dogs = Query(source="a", label="dog", keyword="dog")
    wanted = {"cat": 10, "dog": 10, "emu": 10}
    assert hand_over(15, wanted, {"cat": 5, "dog": 10, "emu": 0}, [cats, dogs]) == [10, 5]
    assert hand_over(3, wanted, {"cat": 5, "dog": 10, "emu": 0}, [cats, dogs]) == [3, 0]
    assert hand_over(7, wanted, {}, []) == []
