"""Exports as the programs read them that people train with. They are slow to import: all of them are used here."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gleanset.export import Entry, Options
from gleanset.store import Store
from gleanset.types import Licence
from tests.engine.exporting import lay_out, stored

# The libraries leave files to the collector, and warn of what others do.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

LABELS = ("cat", "Dog", "sea gull")
COUNTS = {"train": 12, "validation": 5, "test": 4}
BY = Licence("by", "4.0", "https://creativecommons.org/licenses/by/4.0/")
TV_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""`torchvision.datasets.folder.IMG_EXTENSIONS`."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "blobs"))


@pytest.fixture
def hf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hugging Face's library, without a network and with a cache of its own."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_CACHE_HOME", str(tmp_path / "cache"))
    return lambda folder, **more: datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), **more)


def picture(number: int, format_: str = "jpeg") -> bytes:
    file = BytesIO()
    Image.new("RGB", (20 + number, 16), (number * 9, 90, 30)).save(file, format_)
    return file.getvalue()


async def mixed(store: Store, splits: dict[str, int] = COUNTS) -> list[Entry]:
    """Pictures of several formats, labels, licences and splits; in some splits a column is empty throughout."""
    formats = ("jpeg", "png", "webp", "gif")
    made: list[Entry] = []
    for split, count in splits.items():
        for n in range(count):
            number = len(made)
            (entry,) = await stored(store, [picture(number, formats[n % 4])], formats[n % 4])
            made.append(
                replace(
                    entry,
                    label=LABELS[n % 3],
                    split=split,
                    width=20 + number,
                    height=16,
                    title=f"A title, number {n}" if split == "train" else None,
                    licence=BY if n % 2 else None,
                    metadata={"n": n} if split == "train" else {"tags": [{"deep": None}]},
                )
            )
    return made


def same_pictures(rows: Any, entries: list[Entry]) -> None:
    assert [(row["image"].size, row["label"], row["sha256"]) for row in rows] == [
        ((e.width, e.height), e.label, e.sha256) for e in entries
    ]


async def test_imagefolder(store: Store, tmp_path: Path, hf: Any) -> None:
    entries = await mixed(store)
    folder = await lay_out("imagefolder", entries, store, tmp_path / "out")
    loaded = hf(folder)
    assert {split: len(rows) for split, rows in loaded.items()} == COUNTS
    for split, rows in loaded.items():
        same_pictures(rows, [e for e in entries if e.split == split])
    assert loaded["train"].features["title"].dtype == loaded["test"].features["title"].dtype == "string"
    torchvision_reads(folder / "train", [e for e in entries if e.split == "train"])


def torchvision_reads(root: Path, entries: list[Entry]) -> None:
    """What `torchvision.datasets.ImageFolder` does, without torch: classes are the sorted names of folders, a file
    counts by its end, and a class without files is an error."""
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    class_to_idx = {name: number for number, name in enumerate(classes)}
    assert len(classes) == len({e.label for e in entries})
    samples = [
        (path, class_to_idx[name])
        for name in classes
        for path in sorted((root / name).rglob("*"))
        if path.name.lower().endswith(TV_EXTENSIONS)
    ]
    assert {index for _, index in samples} == set(range(len(classes)))
    assert len(samples) == sum(e.format != "gif" for e in entries)
    by_label = Counter(e.label for e in entries if e.format != "gif")
    assert sorted(Counter(index for _, index in samples).values()) == sorted(by_label.values())


async def test_yolo(store: Store, tmp_path: Path) -> None:
    """Ultralytics reads its folders as torchvision does."""
    entries = await mixed(store)
    folder = await lay_out("yolo", entries, store, tmp_path / "out")
    for split in ("train", "val", "test"):
        torchvision_reads(folder / split, [e for e in entries if (e.split or "").startswith(split)])
    bare = await lay_out("yolo", entries, store, tmp_path / "bare", Options(include_metadata=False))
    assert (bare / "classes.txt").read_text().splitlines() == sorted(p.name for p in (bare / "train").iterdir())


async def test_tables(store: Store, tmp_path: Path, hf: Any) -> None:
    entries = await mixed(store)
    for format_ in ("csv", "jsonl"):
        folder = await lay_out(format_, entries, store, tmp_path / format_)
        loaded = hf(folder, data_files=f"metadata.{format_}", split="train")
        assert [(row["label"], row["sha256"]) for row in loaded] == [(e.label, e.sha256) for e in entries]
