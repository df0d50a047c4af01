"""The layouts: what lies where, what is said of each image, and what the options change."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gleanset.export import Entry, Options
from gleanset.export.base import METADATA_FIELDS, folder_name
from gleanset.export.tables import OWED
from gleanset.store import Store
from gleanset.types import Licence
from tests.engine.exporting import lay_out, stored

LABELS = ("cat", "Dog", "🐈 ../x")
SPLITS = ("train", "validation", "test")
BY = Licence("by", "4.0", "https://creativecommons.org/licenses/by/4.0/")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "blobs"))


async def some(store: Store, *, divided: bool = True) -> list[Entry]:
    """Nine images in three labels and splits; every other one has a licence; the last is the one before it again."""
    entries = await stored(store, [bytes([n]) * 100 for n in range(8)])
    made = [
        replace(
            entry,
            label=LABELS[n % 3],
            split=SPLITS[n // 3] if divided else None,
            licence=BY if n % 2 else None,
            attribution="“A” by Ann, CC BY 4.0" if n % 2 else None,
            original_url=f"https://example.org/pictures/Größe {n}.png?size=large",
            metadata={"tags": [n], "more": {"ä": None}},
        )
        for n, entry in enumerate(entries)
    ]
    return [*made, made[-1]]


def files(folder: Path) -> set[str]:
    """All but what comes with every dataset."""
    papers = {path.name for path in folder.iterdir() if path.is_file() and path.suffix in {".md", ".sha256", ".jpg"}}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found - papers - {"croissant.json", "dataset.json"}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


async def test_imagefolder(store: Store, tmp_path: Path) -> None:
    entries = await some(store)
    folder = await lay_out("imagefolder", entries, store, tmp_path / "out")
    pictures = {f"{e.split}/{folder_name(e.label)}/{e.sha256}.png" for e in entries}
    assert files(folder) == pictures | {f"{split}/metadata.jsonl" for split in SPLITS}
    for split in SPLITS:
        rows = lines(folder / split / "metadata.jsonl")
        mine = [e for e in entries if e.split == split]
        assert [row["sha256"] for row in rows] == [e.sha256 for e in mine]
        for row, e in zip(rows, mine, strict=True):
            assert list(row) == [*METADATA_FIELDS, "metadata"]
            assert (folder / split / row["file_name"]).read_bytes() == await store.get(e.key)
            assert (row["label"], row["licence"], row["title"]) == (e.label, e.licence.code if e.licence else "", "")
            assert json.loads(row["metadata"]) == e.metadata


async def test_what_is_not_divided_is_for_training(store: Store, tmp_path: Path) -> None:
    entries = await some(store, divided=False)
    for format_ in ("imagefolder", "yolo"):
        folder = await lay_out(format_, entries, store, tmp_path / format_)
        assert {path.name for path in folder.iterdir() if path.is_dir()} == {"train"}


async def test_yolo(store: Store, tmp_path: Path) -> None:
    entries = await some(store)
    folder = await lay_out("yolo", entries, store, tmp_path / "out")
    places = {"train": "train", "validation": "val", "test": "test"}
    pictures = {f"{places[e.split or '']}/{folder_name(e.label)}/{e.sha256}.png" for e in entries}
    assert files(folder) == pictures | {"metadata.jsonl", "metadata.csv", "classes.txt"}
    classes = (folder / "classes.txt").read_text("utf-8").splitlines()
    assert classes == sorted(path.name for path in (folder / "train").iterdir())
    assert {row["file_name"] for row in lines(folder / "metadata.jsonl")} == pictures


async def test_only_the_table(store: Store, tmp_path: Path) -> None:
    entries = await some(store)
    folder = await lay_out("csv", entries, store, tmp_path / "csv")
    assert files(folder) == {"metadata.csv"}
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        as_csv = list(csv.DictReader(file))
    folder = await lay_out("jsonl", entries, store, tmp_path / "jsonl")
    assert files(folder) == {"metadata.jsonl"}
    as_json = lines(folder / "metadata.jsonl")
    for e, one, other in zip(entries, as_csv, as_json, strict=True):
        assert list(one) == list(other) == [*METADATA_FIELDS[1:], "metadata"]
        assert (one["original_url"], one["label"], one["split"]) == (e.original_url, e.label, e.split)
        assert json.loads(one["metadata"]) == other["metadata"] == e.metadata


async def test_numbers_as_names(store: Store, tmp_path: Path) -> None:
    """Counted for each label over all splits, so none is lost, also of an image that is there twice."""
    entries = await some(store)
    for format_ in ("tar", "imagefolder", "yolo"):
        folder = await lay_out(format_, entries, store, tmp_path / format_, Options(rename="number"))
        found = sorted(name.rpartition("/")[2] for name in files(folder) if name.endswith(".png"))
        assert found == [f"{number:06}.png" for number in (1, 1, 1, 2, 2, 2, 3, 3, 4)]


async def test_original_names(store: Store, tmp_path: Path) -> None:
    entries = await some(store)
    folder = await lay_out("zip", entries, store, tmp_path / "out", Options(rename="original"))
    assert f"images/cat/Größe_0-{entries[0].sha256[:16]}.png" in files(folder)


async def test_without_metadata(store: Store, tmp_path: Path) -> None:
    """There are no tables beside images; what is only a table says what the images are and what is owed."""
    entries = await some(store)
    bare = Options(include_metadata=False)
    for format_ in ("zip", "imagefolder", "yolo"):
        folder = await lay_out(format_, entries, store, tmp_path / format_, bare)
        assert all(name.endswith((".png", "classes.txt")) for name in files(folder))
    folder = await lay_out("jsonl", entries, store, tmp_path / "jsonl", bare)
    rows = lines(folder / "metadata.jsonl")
    assert [list(row) for row in rows] == [list(OWED[1:])] * len(entries)
    assert rows[1]["attribution"] == entries[1].attribution
    folder = await lay_out("csv", entries, store, tmp_path / "csv", bare)
    assert (folder / "metadata.csv").read_text("utf-8").startswith(",".join(OWED[1:]))
