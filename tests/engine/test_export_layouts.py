"""The layouts: what lies where, what is said of each image, and what the options change."""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gleanset.errors import StoreError
from gleanset.export import FORMATS, Entry, Options, Resize
from gleanset.export.base import METADATA_FIELDS, folder_name
from gleanset.export.tables import OWED
from gleanset.store import Store
from gleanset.types import Licence
from tests.engine.exporting import lay_out, stored

LABELS = ("cat", "Dog", "🐈 ../x")
SMALL = Resize(mode="longer", width=8, height=8)
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


def batched(names: list[str], size: int) -> Iterator[list[str]]:
    for at in range(0, len(names), size):
        yield names[at : at + size]


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


async def test_plain(store: Store, tmp_path: Path) -> None:
    """What is divided has a folder for each split, so that who takes a folder for a dataset has no other in it."""
    entries = await some(store, divided=False)
    folder = await lay_out("zip", entries, store, tmp_path / "whole")
    pictures = {f"images/{folder_name(e.label)}/{e.sha256}.png" for e in entries}
    assert files(folder) == pictures | {"metadata.jsonl", "metadata.csv"}
    entries = await some(store)
    folder = await lay_out("zip", entries, store, tmp_path / "divided")
    pictures = {f"images/{e.split}/{folder_name(e.label)}/{e.sha256}.png" for e in entries}
    tables = {f"images/{split}/metadata.jsonl" for split in SPLITS}
    assert files(folder) == pictures | {"metadata.jsonl", "metadata.csv"} | tables
    rows = lines(folder / "metadata.jsonl")
    assert [(row["sha256"], row["split"]) for row in rows] == [(e.sha256, e.split) for e in entries]
    assert {row["file_name"] for row in rows} == pictures


async def test_yolo(store: Store, tmp_path: Path) -> None:
    entries = await some(store)
    folder = await lay_out("yolo", entries, store, tmp_path / "out")
    places = {"train": "train", "validation": "val", "test": "test"}
    pictures = {f"{places[e.split or '']}/{folder_name(e.label)}/{e.sha256}.png" for e in entries}
    assert files(folder) == pictures | {"metadata.jsonl", "metadata.csv", "classes.txt"}
    classes = (folder / "classes.txt").read_text("utf-8").splitlines()
    assert classes == sorted(path.name for path in (folder / "train").iterdir())
    assert {row["file_name"] for row in lines(folder / "metadata.jsonl")} == pictures


async def test_coco(store: Store, tmp_path: Path) -> None:
    entries = await some(store)
    folder = await lay_out("coco", entries, store, tmp_path / "out")
    pictures = {f"images/{e.split}/{folder_name(e.label)}/{e.sha256}.png" for e in entries}
    assert files(folder) == pictures | {f"annotations/instances_{split}.json" for split in SPLITS}
    ids: list[int] = []
    for split in SPLITS:
        told = json.loads((folder / "annotations" / f"instances_{split}.json").read_text("utf-8"))
        assert [(c["id"], c["name"]) for c in told["categories"]] == list(enumerate(LABELS, 1))
        licences = {each["id"]: each for each in told["licenses"]}
        mine = [e for e in entries if e.split == split]
        for image, note, e in zip(told["images"], told["annotations"], mine, strict=True):
            assert (folder / "images" / split / image["file_name"]).read_bytes() == await store.get(e.key)
            assert licences[image["license"]]["url"] == (e.licence.url if e.licence else "")
            assert set(METADATA_FIELDS) < set(image)
            assert (image["metadata"], image["coco_url"]) == (e.metadata, e.original_url)
            assert (note["image_id"], note["category_id"]) == (image["id"], 1 + LABELS.index(e.label))
            assert (note["bbox"], note["area"], note["iscrowd"]) == ([0, 0, 10, 20], 200, 0)
            ids.append(image["id"])
    assert ids == list(range(1, len(entries) + 1))


async def test_webdataset(store: Store, tmp_path: Path) -> None:
    """No shard is larger than asked for, none mixes splits, and an image that is there twice is two samples."""
    entries = await some(store)
    most = 20_480
    folder = await lay_out("webdataset", entries, store, tmp_path / "out", Options(max_shard_bytes=most))
    shards = sorted(folder.glob("*.tar"))
    assert files(folder) == {path.name for path in shards} | {"classes.json", "metadata.jsonl"}
    assert len(shards) > len(SPLITS)
    assert all(path.stat().st_size <= most for path in shards)
    assert json.loads((folder / "classes.json").read_text("utf-8")) == list(LABELS)
    found: list[tuple[str, str, int]] = []
    names: set[str] = set()
    for split in SPLITS:
        for shard in sorted(folder.glob(f"{split}-*.tar")):
            with tarfile.open(shard) as archive:
                parts = {info.name: (archive.extractfile(info) or BytesIO()).read() for info in archive}
            for picture, row, number in batched(list(parts), 3):
                told = json.loads(parts[row])
                assert hashlib.sha256(parts[picture]).hexdigest() == told["sha256"]
                assert told["file_name"] == picture
                names.add(picture)
                assert set(told) == {*METADATA_FIELDS, "metadata"}
                found.append((split, told["label"], int(parts[number])))
    assert found == [(e.split, e.label, LABELS.index(e.label)) for e in entries]
    rows = lines(folder / "metadata.jsonl")
    assert [(row["split"], row["sha256"], row["title"]) for row in rows] == [(e.split, e.sha256, None) for e in entries]
    assert {row["file_name"] for row in rows} == names


async def test_parquet(store: Store, tmp_path: Path) -> None:
    entries = [replace(e, fetched_at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) for e in await some(store)]
    most = 4096 + 250
    folder = await lay_out("parquet", entries, store, tmp_path / "out", Options(max_shard_bytes=most))
    shards = {"train": 2, "validation": 2, "test": 2}
    assert files(folder) == {
        f"data/{split}-{n:05}-of-{count:05}.parquet" for split, count in shards.items() for n in range(count)
    }
    for split in SPLITS:
        table = pq.read_table(sorted((folder / "data").glob(f"{split}-*.parquet")))
        mine = [e for e in entries if e.split == split]
        assert table.column_names == ["image", "label", "label_name", *METADATA_FIELDS[2:], "metadata"]
        for row, e in zip(table.to_pylist(), mine, strict=True):
            assert row["image"]["bytes"] == await store.get(e.key)
            assert row["image"]["path"] == f"{folder_name(e.label)}/{e.sha256}.png"
            assert (row["label"], row["label_name"]) == (LABELS.index(e.label), e.label)
            assert (row["fetched_at"], row["width"], row["title"]) == (e.fetched_at, 10, None)
            assert json.loads(row["metadata"]) == e.metadata


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
    assert f"images/train/cat/Größe_0-{entries[0].sha256[:16]}.png" in files(folder)


async def test_without_metadata(store: Store, tmp_path: Path) -> None:
    """Then it is told what the images are, where they belong, and what is owed."""
    entries = await some(store)
    bare = Options(include_metadata=False)
    for format_ in ("zip", "imagefolder", "yolo"):
        folder = await lay_out(format_, entries, store, tmp_path / format_, bare)
        tables = [name for name in files(folder) if name.endswith("metadata.jsonl")]
        assert len(tables) == {"zip": 4, "imagefolder": 3, "yolo": 1}[format_]
        for name in tables:
            for row in lines(folder / name):
                assert list(row) == list(OWED)
                assert (folder / Path(name).parent / row["file_name"]).is_file()
    folder = await lay_out("jsonl", entries, store, tmp_path / "jsonl", bare)
    rows = lines(folder / "metadata.jsonl")
    assert [list(row) for row in rows] == [list(OWED[1:])] * len(entries)
    assert rows[1]["attribution"] == entries[1].attribution
    for format_ in ("coco", "webdataset", "parquet"):
        folder = await lay_out(format_, entries, store, tmp_path / format_, bare)
        described = [path for path in folder.rglob("*") if path.suffix in {".tar", ".parquet", ".json"}]
        told = "\n".join(path.read_text("latin-1") for path in described)
        assert "CC BY 4.0" in told
        assert "source_page" not in told
    folder = await lay_out("csv", entries, store, tmp_path / "csv", bare)
    assert (folder / "metadata.csv").read_text("utf-8").startswith(",".join(OWED[1:]))


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
async def test_a_table_is_made_without_reading_an_image(store: Store, tmp_path: Path, format_: str) -> None:
    entries = await some(store)
    whole = await lay_out(format_, entries, store, tmp_path / "whole.tar", inside="tar")
    nothing = Store(str(tmp_path / "nothing"))
    again = await lay_out(format_, entries, nothing, tmp_path / "again.tar", inside="tar")
    assert again.read_bytes() == whole.read_bytes()
    with pytest.raises(StoreError):  # what tells of copies has to make them
        await lay_out(format_, entries, nothing, tmp_path / "copies.tar", Options(resize=SMALL), "tar")


@pytest.mark.parametrize("format_", ["zip", *(name for name, (layout, _) in FORMATS.items() if layout != "plain")])
async def test_nothing_that_is_packed_tells_of_the_crc32_in_rows(store: Store, tmp_path: Path, format_: str) -> None:
    without = await some(store)
    having = [replace(entry, crc32=zlib.crc32(await store.get(entry.key))) for entry in without]
    folders = [
        await lay_out(format_, entries, store, tmp_path / name)
        for name, entries in (("without", without), ("having", having))
    ]
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    )
    assert first == second
