"""What changed between two exports, by address and by bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gleanset.errors import ExportDamaged, NotAnExport
from gleanset.export.diff import CHANGES, Diff, diff
from gleanset.export.reading import open_package
from tests.engine.packages import KINDS, Files, files_of, package, rows


def row(number: int, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "file_name": f"images/cat/{number}.jpg",
        "label": "cat",
        "sha256": f"{number:064x}",
        "original_url": f"https://example.org/{number}.jpg",
        "licence": "by",
        "licence_version": "4.0",
        "decision": None,
    }
    return given | more


def compared(tmp_path: Path, before: Files, after: Files, listed: int = 100, kind: str = "tar") -> Diff:
    (tmp_path / "old").mkdir(exist_ok=True, parents=True)
    (tmp_path / "new").mkdir(exist_ok=True)
    old, new = package(tmp_path / "old", kind, before), package(tmp_path / "new", kind, after)
    return diff(open_package(old), open_package(new), listed)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_change(tmp_path: Path, kind: str) -> None:
    before = [row(n, title="A cat", creator=None) if n == 6 else row(n) for n in range(10)]
    after = [
        row(0),
        row(1, sha256="f" * 64),
        row(2, original_url="https://example.com/moved.jpg"),
        row(3, label="dog", split="test"),
        row(4, licence_version="3.0"),
        row(5, decision="keep"),
        row(6, title="A cat", creator="Ann"),
        row(100),
    ]
    after.reverse()
    found = compared(tmp_path, rows(*before), rows(*after), kind=kind)
    assert (found.added, found.removed, found.changed, found.same) == (1, 3, 6, 1)
    counts = {name: count for name, count in found.by_change.items() if count}
    assert counts == dict.fromkeys(("bytes", "address", "label", "split", "licence", "decision", "creator"), 1)
    assert list(found.by_change) == list(CHANGES)
    told = {each.what: (each.before, each.after) for each in found.listed if each.what != ("removed",)}
    assert told == {
        ("added",): (None, row(100)),
        ("bytes",): (row(1), after[6]),
        ("address",): (row(2), after[5]),
        ("label", "split"): (row(3), after[4]),
        ("licence",): (row(4), after[3]),
        ("creator",): (before[6], after[1]),
        ("decision",): (row(5), after[2]),
    }
    assert [each.before for each in found.listed if each.what == ("removed",)] == [row(7), row(8), row(9)]


ORIGINAL = {"metadata": {"original": {"sha256": f"{1:064x}", "width": 640, "height": 480}}}
COPY = row(1, sha256="c" * 64, width=320, height=240)
SMALLER = row(1, sha256="d" * 64, width=160, height=120)
ANOTHER = {"metadata": {"original": {"sha256": "e" * 64}}}


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (row(1), COPY | ORIGINAL, {"resized": 1}),
        (COPY | ORIGINAL, row(1), {"resized": 1}),
        (COPY | ORIGINAL, SMALLER | ORIGINAL, {"resized": 1}),
        (COPY | ORIGINAL, COPY | ORIGINAL, {}),
        (COPY | {"metadata": json.dumps(ORIGINAL["metadata"])}, row(1), {"resized": 1}),
        (row(1), COPY | ANOTHER, {"bytes": 1}),
        (COPY | ORIGINAL, SMALLER | ANOTHER, {"bytes": 1}),
        (row(1), COPY | ORIGINAL | {"original_url": "https://example.com/"}, {"resized": 1, "address": 1}),
        (row(1), COPY | {"metadata": '{"original": ' + "[" * 100_000}, {"bytes": 1}),
    ],
)
def test_copies_of_another_size(tmp_path: Path, before: Any, after: Any, changes: dict[str, int]) -> None:
    found = compared(tmp_path, rows(before), rows(after))
    assert {name: count for name, count in found.by_change.items() if count} == changes
    assert (found.added, found.removed, found.changed) == (0, 0, int(bool(changes)))


def test_copies_without_metadata_tell_nothing_of_their_pictures(tmp_path: Path) -> None:
    def bare(size: int, image: dict[str, Any]) -> Files:
        options = {"include_metadata": False, "resize": {"size": size}}
        return [*rows(image), ("dataset.json", json.dumps({"options": options}).encode())]

    for before, after, change in (
        (rows(row(1)), bare(240, COPY), "resized"),
        (bare(240, COPY), bare(120, SMALLER), "resized"),
        (bare(240, COPY), bare(240, SMALLER), "bytes"),
    ):
        found = compared(tmp_path, before, after)
        assert {name: count for name, count in found.by_change.items() if count} == {change: 1}


def test_the_same_address_or_bytes_several_times(tmp_path: Path) -> None:
    twice = [row(1), row(1), row(1, original_url="https://example.org/copy.jpg"), row(2)]
    found = compared(tmp_path, rows(*twice), rows(*twice))
    assert (found.added, found.removed, found.changed, found.same) == (0, 0, 0, 4)
    found = compared(tmp_path, rows(*twice), rows(row(1), row(2, original_url="https://example.org/3.jpg")))
    assert (found.added, found.removed, found.changed, found.same) == (0, 2, 1, 1)
    assert found.by_change["address"] == 1
    found = compared(tmp_path, rows(), rows(*twice))
    assert (found.added, found.removed, found.changed, found.same) == (4, 0, 0, 0)


def test_what_exports_say_of_themselves(tmp_path: Path) -> None:
    told = [("dataset.json", b'{"fingerprint": "1"}'), ("dataset.json", b'{"fingerprint": "2"}')]
    found = compared(tmp_path, [*rows(row(1)), told[0]], [*rows(row(1)), told[1]])
    assert (found.before, found.after) == ({"fingerprint": "1"}, {"fingerprint": "2"})
    found = compared(tmp_path, rows(row(1)), [*rows(row(1)), ("dataset.json", b"[" * 100_000)])
    assert (found.before, found.after) == ({}, {})


@pytest.mark.parametrize("text", [b"{", b"[]\n", b"[" * 100_000, b"\xff\n", b"1\n"])
def test_a_table_that_is_none(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ExportDamaged, match=r"^Line 1 of metadata\.jsonl is"):
        compared(tmp_path, [("metadata.jsonl", text)], rows(row(1)))
    with pytest.raises(NotAnExport, match="has no table of its images"):
        compared(tmp_path, files_of(1)[:1], rows(row(1)))


def test_of_many_rows_only_some_are_listed(tmp_path: Path) -> None:
    before = rows(*(row(n) for n in range(20_000)))
    after = rows(*(row(n, label="dog" if n % 2 else "cat") for n in range(10_000, 30_000)))
    found = compared(tmp_path, before, after, listed=3)
    assert (found.added, found.removed, found.changed, found.same) == (10_000, 10_000, 5_000, 5_000)
    assert [each.what for each in found.listed] == [("added",)] * 3 + [("removed",)] * 3 + [("label",)] * 3
    assert found.listed[0].after == row(20_000)
    assert found.listed[3].before == row(0)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, name) for name in ("title", "creator", "attribution", "source_page")),
        *(("creator_url", "creator"), ("licence_url", "licence")),
    ],
)
def test_what_cc_by_hangs_on_is_compared(tmp_path: Path, name: str, change: str) -> None:
    told = {"title": "A cat", "creator": "Ann", "attribution": "Ann", "source_page": "https://example.org/"}
    before, after = row(1, **told), row(1, **told | {name: "another"})
    found = compared(tmp_path, rows(before), rows(after))
    assert {name: count for name, count in found.by_change.items() if count} == {change: 1}
    bare = compared(tmp_path / "bare", rows(before), rows(row(1)))
    assert (bare.changed, bare.same) == (0, 1), "what is not told is not known to have changed"
