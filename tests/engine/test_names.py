"""Names of files in a dataset."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from gleanset.export import Entry
from gleanset.export.names import Names, Scheme


def entry(url: str, label: str = "cat") -> Entry:
    sha256 = hashlib.sha256(url.encode()).hexdigest()
    values: dict[str, Any] = {"position": 1, "key": "k", "format": "jpeg", "width": 1, "height": 1, "file_size": 1}
    return Entry(sha256=sha256, label=label, original_url=url, **values)


def test_numbers_are_counted_for_each_label_and_go_on_after_a_kill() -> None:
    names = Names("number")
    given = [names.of(entry(str(n), label)) for n, label in enumerate(["cat", "dog", "cat"])]
    assert given == ["000001", "000001", "000002"]
    again = Names("number")
    again.restore(names.state())
    assert [again.of(entry("x", label)) for label in ("cat", "dog", "owl")] == ["000003", "000002", "000001"]


def test_the_hash_is_the_name_of_the_content() -> None:
    assert Names().of(entry("https://example.org/a.jpg")) == hashlib.sha256(b"https://example.org/a.jpg").hexdigest()


@pytest.mark.parametrize(
    ("url", "stem"),
    [
        ("https://example.org/a/Red%20fox.JPG?size=2", "Red_fox"),
        ("https://example.org/photos/", "photos"),
        ("https://example.org", "image"),
        ("https://example.org/../..%2f..%2fetc%2fpasswd", "etc_passwd"),
        ("https://example.org/.hidden", "hidden"),
        ("https://example.org/con", "con"),
        ("https://example.org/fu%C3%9F.a.b.png", "fuß_a_b"),
        ("https://example.org/" + "x" * 500, "x" * 80),
        ("http://[broken/x.jpg", "x"),
        ("https://example.org/%00%0a.jpg", "image"),
    ],
)
def test_the_original_name_is_made_safe_and_told_apart_by_the_hash(url: str, stem: str) -> None:
    schemes: list[Scheme] = ["original", "original"]
    first, second = (Names(scheme).of(entry(url)) for scheme in schemes)
    assert first == second == f"{stem}-{entry(url).sha256[:16]}"


def test_an_original_name_is_short_enough_in_bytes() -> None:
    made = entry(f"https://example.org/{'漢' * 200}.jpg")
    assert len(Names("original").of(made).encode()) <= 200
