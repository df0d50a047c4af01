"""Exports as the programs read them that people train with. They are slow to import: all of them are used here."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from PIL import Image

from gleanset.export import Entry, Options
from gleanset.store import EXTENSIONS, Store
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


async def mixed(
    store: Store, splits: dict[str, int] = COUNTS, formats: Sequence[str] = ("jpeg", "png", "webp", "gif")
) -> list[Entry]:
    """Pictures of several formats, labels, licences and splits; in some splits a column is empty throughout."""
    made: list[Entry] = []
    for split, count in splits.items():
        for n in range(count):
            number, format_ = len(made), formats[n % len(formats)]
            (entry,) = await stored(store, [picture(number, format_)], format_)
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


async def test_webdataset(store: Store, tmp_path: Path, hf: Any) -> None:
    """Pictures of all formats, each by its own name, in several shards, as the card says that they are loaded."""
    entries = await mixed(store, formats=tuple(EXTENSIONS))
    folder = await lay_out("webdataset", entries, store, tmp_path / "out", Options(max_shard_bytes=40_000))
    assert len(list(folder.glob("train-*.tar"))) > 1
    classes = json.loads((folder / "classes.json").read_text())
    for split in COUNTS:
        mine = [e for e in entries if e.split == split]
        read = as_the_card_says(folder, "webdataset", split)
        assert [(image.size, row["sha256"], row["licence"], classes[number]) for image, number, row in read] == [
            ((e.width, e.height), e.sha256, e.licence.code if e.licence else "", e.label) for e in mine
        ]
    loaded = hf(folder)
    assert {split: len(rows) for split, rows in loaded.items()} == COUNTS
    for split, rows in [*loaded.items(), ("test", hf(folder, split="test", streaming=True))]:
        mine = [e for e in entries if e.split == split]
        for row, e in zip(rows, mine, strict=True):
            assert {suffix for suffix in EXTENSIONS.values() if row[suffix]} == {EXTENSIONS[e.format]}
            assert row[EXTENSIONS[e.format]].size == (e.width, e.height)
            assert (row["json"]["sha256"], row["json"]["width"], classes[row["cls"]]) == (e.sha256, e.width, e.label)
    assert loaded["train"].features["json"]["width"].dtype == "int64"


def as_the_card_says(folder: Path, client: str, split: str) -> Any:
    """What the card's block for a client makes, of this split."""
    block = (folder / "README.md").read_text().partition(f"\n{client}:\n\n```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(block.replace("FOLDER", str(folder)).replace("train-", f"{split}-"), names)
    return names["dataset"]


async def test_what_webdataset_takes_for_pictures(store: Store, tmp_path: Path) -> None:
    """By their names, as they come without being told: all but AVIF, of which the card tells it."""
    wds = pytest.importorskip("webdataset")
    entries = await mixed(store, {"train": 7}, tuple(EXTENSIONS))
    folder = await lay_out("webdataset", entries, store, tmp_path / "out")
    found: dict[str, Any] = {}
    for sample in wds.WebDataset(str(folder / "train-000000.tar"), shardshuffle=False).decode("pil"):
        found |= {name: part for name, part in sample.items() if name in EXTENSIONS.values()}
    assert found.keys() == set(EXTENSIONS.values())
    assert {name for name, part in found.items() if isinstance(part, bytes)} == {"avif"}


@pytest.mark.parametrize("format_", ["jpeg", "png"])
async def test_webdataset_of_one_format(format_: str, store: Store, tmp_path: Path, hf: Any) -> None:
    """Then Hugging Face's own reader of shards needs no card."""
    entries = await mixed(store, formats=(format_,))
    options = Options(include_metadata=False)
    folder = await lay_out("webdataset", entries, store, tmp_path / "out", options)
    read = list(as_the_card_says(folder, "webdataset", "train"))
    assert [image.size for image, _, _ in read] == [(e.width, e.height) for e in entries if e.split == "train"]
    shards = {"train": str(folder / "train-*.tar")}
    for rows in (hf(folder, split="train"), hf("webdataset", data_files=shards, split="train")):
        assert [row[EXTENSIONS[format_]].size for row in rows] == [image.size for image, _, _ in read]
        assert rows[1]["json"]["sha256"] == read[1][2]["sha256"]


async def test_parquet(store: Store, tmp_path: Path, hf: Any) -> None:
    entries = await mixed(store)
    folder = await lay_out("parquet", entries, store, tmp_path / "out", Options(max_shard_bytes=5_000))
    shards = {split: [str(path) for path in sorted(folder.glob(f"data/{split}-*.parquet"))] for split in COUNTS}
    count = len(shards["train"])
    assert count > 1
    assert [Path(name).name for name in shards["train"]] == [
        f"train-{n:05}-of-{count:05}.parquet" for n in range(count)
    ]
    bare = await lay_out("parquet", entries, store, tmp_path / "bare", Options(include_metadata=False))
    for loaded in (hf(folder), hf("parquet", data_files=shards), hf(bare)):
        assert {split: len(rows) for split, rows in loaded.items()} == COUNTS
        for split, rows in loaded.items():
            assert rows.features["label"].names == list(LABELS)
            same_pictures(named(rows), [e for e in entries if e.split == split])
            assert rows["label_name"] == [row["label"] for row in named(rows)]
    kinds = {name: repr(feature) for name, feature in hf(folder)["test"].features.items()}
    assert kinds["image"].startswith("Image(")
    assert kinds["fetched_at"] == "Value('timestamp[us, tz=UTC]')"
    assert kinds["label_name"] == kinds["title"] == "Value('string')"
    for n, shard in enumerate(shards["train"]):  # each alone knows all labels, also the first
        assert hf("parquet", data_files=shard, split="train").features["label"].names == list(LABELS), n
    streamed = hf(folder, split="validation", streaming=True)
    same_pictures(named(streamed), [e for e in entries if e.split == "validation"])


def named(rows: Any) -> list[dict[str, Any]]:
    """The rows with the names of their labels for the numbers."""
    return [row | {"label": rows.features["label"].int2str(row["label"])} for row in rows]


async def test_parquet_for_others(store: Store, tmp_path: Path) -> None:
    """pandas as the card says it, and Arrow's datasets over all files: one schema, and labels by their names."""
    entries = await mixed(store)
    folder = await lay_out("parquet", entries, store, tmp_path / "out", Options(max_shard_bytes=5_000))
    block = (folder / "README.md").read_text().partition("\npandas:\n\n```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(block.replace("FOLDER", str(folder)), names)
    first = names["rows"]
    assert first["label_name"].tolist() == [e.label for e in entries[: len(first)]]
    table = pyarrow.dataset.dataset(folder / "data").to_table(columns=["sha256", "label", "label_name", "split"])
    assert {tuple(row.values()) for row in table.to_pylist()} == {
        (e.sha256, LABELS.index(e.label), e.label, e.split) for e in entries
    }


@pytest.mark.parametrize("splits", [COUNTS, {"fold_1": 3, "fold_2": 2}])
@pytest.mark.parametrize("format_", ["zip", "folder", "imagefolder", "webdataset", "parquet"])
async def test_no_split_is_given_the_images_of_another(
    format_: str, splits: dict[str, int], store: Store, tmp_path: Path, hf: Any
) -> None:
    """Whatever they are called, such as folds, which nobody could guess: the card says which files are theirs."""
    entries = await mixed(store, splits)
    for options in (Options(), Options(include_metadata=False)):
        folder = await lay_out(format_, entries, store, tmp_path / f"{options.include_metadata}", options)
        loaded = hf(folder)
        assert {split: len(rows) for split, rows in loaded.items()} == splits
        for split, rows in loaded.items():
            told = [row.get("json", row) for row in rows]
            assert [(row["sha256"], row["split"]) for row in told] == [
                (e.sha256, split) for e in entries if e.split == split
            ]


async def test_zip(store: Store, tmp_path: Path, hf: Any) -> None:
    """A folder of a split is one for torchvision too; what is not divided is all for training."""
    entries = await mixed(store)
    folder = await lay_out("zip", entries, store, tmp_path / "out")
    for split, rows in hf(folder).items():
        mine = [e for e in entries if e.split == split]
        same_pictures(rows, mine)
        torchvision_reads(folder / "images" / split, mine)
    whole = [replace(e, split=None) for e in entries]
    loaded = hf(await lay_out("zip", whole, store, tmp_path / "whole"))
    assert loaded.keys() == {"train"}
    same_pictures(loaded["train"], whole)


async def test_coco(store: Store, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    entries = await mixed(store)
    folder = await lay_out("coco", entries, store, tmp_path / "out")
    for split in COUNTS:
        mine = [e for e in entries if e.split == split]
        read = coco.COCO(str(folder / "annotations" / f"instances_{split}.json"))
        names = {each["id"]: each["name"] for each in read.loadCats(read.getCatIds())}
        assert list(names.values()) == list(LABELS)
        images = read.loadImgs(read.getImgIds())
        labels = [
            [names[note["category_id"]] for note in read.loadAnns(read.getAnnIds(imgIds=image["id"]))]
            for image in images
        ]
        assert [image["sha256"] for image in images] == [e.sha256 for e in mine]
        assert labels == [[e.label] for e in mine]
        for image, e in zip(images, mine, strict=True):
            with Image.open(folder / "images" / split / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"]) == (e.width, e.height)
        cats = read.getImgIds(catIds=read.getCatIds(catNms=["cat"]))
        assert len(cats) == sum(e.label == "cat" for e in mine)


@pytest.mark.parametrize("inside", ["zip", "tar", "tar.gz", "tar.zst"])
async def test_programs_test_the_containers(inside: str, store: Store, tmp_path: Path) -> None:
    """Info-ZIP and 7-Zip, or GNU tar, find nothing wrong; what they unpack is what the manifest says."""
    entries = await mixed(store)
    packed = await lay_out("imagefolder", entries, store, tmp_path / f"out.{inside}", inside=inside)
    out = tmp_path / "unpacked"
    out.mkdir()
    if inside == "zip":
        run("unzip", "-tq", packed)
        run("7zz", "t", packed)
        run("unzip", "-q", packed, "-d", out)
    else:
        flag = {"tar": [], "tar.gz": ["--gzip"], "tar.zst": ["--zstd"]}[inside]
        run("tar", *flag, "--extract", "--file", packed, "--directory", out)
    run("sha256sum", "--check", "--strict", "--quiet", "MANIFEST.sha256", cwd=out)
    assert len(list(out.rglob("*.*"))) == len(entries) + len(COUNTS) + len(papers(out))


def papers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]


def run(*command: object, **more: Any) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_tables(store: Store, tmp_path: Path, hf: Any) -> None:
    entries = await mixed(store)
    for format_ in ("csv", "jsonl"):
        folder = await lay_out(format_, entries, store, tmp_path / format_)
        loaded = hf(folder, data_files=f"metadata.{format_}", split="train")
        assert [(row["label"], row["sha256"]) for row in loaded] == [(e.label, e.sha256) for e in entries]
        as_told = hf(folder)
        assert {name: len(rows) for name, rows in as_told.items()} == {"everything": len(entries)}, "no training set"
