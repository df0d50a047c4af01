"""Datasets in the layouts of other programs, read in place like our own."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gleanset.client import Dataset
from gleanset.client.folders import Folder
from gleanset.errors import DatasetError
from gleanset.export import Entry, Options, Resize
from gleanset.store import Store
from gleanset.types import Licence
from tests.client.making import dataset_files, manifest, picture, write_tar, write_zip
from tests.engine.exporting import lay_out, stored
from tests.engine.packages import member

OF_COCO = {"id", "license", "coco_url"}


@pytest.fixture
async def entries(tmp_path: Path) -> list[Entry]:
    made = await stored(Store(str(tmp_path / "blobs")), [picture(n) for n in range(12)], "jpeg")
    return [
        replace(
            entry,
            width=160,
            height=160,
            label=("tern", "Gull, “old”\nnews")[n % 2],
            split=("train", "test")[n // 8],
            licence=Licence("by", "4.0") if n % 3 else None,
            title=None if n % 2 else "",
            metadata={"n": n, "none": None},
        )
        for n, entry in enumerate(made)
    ]


async def packed(entries: list[Entry], folder: Path, layout: str, inside: str, **options: Any) -> Path:
    """With a few images in a shard."""
    target = folder / f"{layout}.{inside}"
    store = Store(str(folder / "blobs"))
    return await lay_out(layout, entries, store, target, Options(max_shard_bytes=300_000, **options), inside)


@pytest.mark.parametrize("inside", ["zip", "tar"])
@pytest.mark.parametrize("layout", ["coco", "webdataset", "parquet"])
async def test_the_same_images_as_of_the_plain_layout(
    entries: list[Entry], tmp_path: Path, layout: str, inside: str
) -> None:
    path = await packed(entries, tmp_path, layout, inside)
    with Dataset.open(path) as dataset, Dataset.open(await packed(entries, tmp_path, "zip", "zip")) as plain:
        assert (dataset.labels, dataset.label_counts, dataset.splits) == (
            plain.labels,
            plain.label_counts,
            plain.splits,
        )
        assert len(dataset) == 12
        one, other = by_hash(dataset.as_bytes()), by_hash(plain.as_bytes())
        assert one == other
        assert [image.size for image, _, _ in dataset] == [(160, 160)] * 12
        again = pickle.loads(pickle.dumps(dataset.split("test").shuffled(1)))
        assert {label for _, label, _ in again} == {"tern", "Gull, “old”\nnews"}
        assert sorted(row["metadata"]["n"] for row in again.metadata()) == [8, 9, 10, 11]
        assert len(dataset.to_pandas()) == 12


def by_hash(dataset: Dataset) -> dict[str, Any]:
    """All but the names that each layout gives, and what is empty, which some layouts do not tell from nothing."""
    return {
        row["sha256"]: (image, label, {k: v for k, v in row.items() if v != "" and k not in {"file_name", *OF_COCO}})
        for image, label, row in (sample._replace(metadata=sample.metadata | {"title": None}) for sample in dataset)
    }


async def test_copies_of_another_size(entries: list[Entry], tmp_path: Path) -> None:
    path = await packed(entries, tmp_path, "webdataset", "tar", resize=Resize(mode="shorter", width=32, height=32))
    with Dataset.open(path) as dataset:
        assert {image.size for image, _, _ in dataset} == {(32, 32)}
        assert dataset[0].metadata["metadata"]["original"]["width"] == 160


@pytest.mark.parametrize("inside", ["tar.gz", "tar.zst", "folder"])
@pytest.mark.parametrize("layout", ["zip", "imagefolder", "yolo", "coco", "webdataset", "parquet"])
async def test_packed_tars_and_folders_that_are_here(
    entries: list[Entry], tmp_path: Path, layout: str, inside: str
) -> None:
    path = await packed(entries, tmp_path, layout, inside, include_metadata=layout not in {"imagefolder", "yolo"})
    cache = tmp_path / "cache"
    with Dataset.open(path, cache=cache) as dataset:
        assert dataset.labels == ["Gull, “old”\nnews", "tern"]
        assert dataset.splits == {"train": 8, "test": 4}
        assert {sample.image for sample in dataset.as_bytes()} == {picture(n) for n in range(12)}
        again: Dataset = pickle.loads(pickle.dumps(dataset))
        assert len(list(again)) == 12
    kept = [path for path in cache.rglob("*") if path.is_file()]
    assert len(kept) == (inside != "folder")
    with Dataset.open(path, cache=cache) as dataset:
        assert len(dataset) == 12
    assert [path for path in cache.rglob("*") if path.is_file()] == kept, "it is not unpacked again"


def test_a_packed_tar_that_changes(tmp_path: Path) -> None:
    """The newer one takes the room of the older."""
    path, cache = tmp_path / "set.tar.gz", tmp_path / "cache"
    for count in (1, 2, 3, 2):
        path.write_bytes(gzip.compress(write_tar(tmp_path / "plain.tar", dataset_files(count)).read_bytes()))
        with Dataset.open(path, cache=cache) as dataset:
            assert len(dataset) == count
        assert len([path for path in cache.rglob("*") if path.is_file()]) == 1
    path.write_bytes(gzip.compress(bytes(1000))[:-9])
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        Dataset.open(path, cache=cache)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_folder_as_deep_as_can_be(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit() + 100
    folders = [tmp_path / ("a/" * n) for n in range(1, depth + 1)]
    for folder in folders:
        folder.mkdir()
    try:
        (folders[-1] / "x").touch()
        assert list(Folder(tmp_path).members) == ["a/" * depth + "x"]
    finally:
        (folders[-1] / "x").unlink(missing_ok=True)
        for folder in reversed(folders):  # what pytest removes them with goes down by recursion
            folder.rmdir()


async def test_a_folder_that_is_damaged_or_leads_out_of_itself(entries: list[Entry], tmp_path: Path) -> None:
    folder = await packed(entries, tmp_path, "imagefolder", "folder")
    some = next((folder / "train").rglob("*.jpg"))
    data = some.read_bytes()
    some.write_bytes(data[:-1] + b"x")
    with Dataset.open(folder) as dataset, pytest.raises(DatasetError, match="is damaged: its SHA-256"):
        list(dataset)
    some.write_bytes(data[:100])
    with Dataset.open(folder) as dataset, pytest.raises(DatasetError, match="is damaged"):
        list(dataset)
    some.unlink()
    with pytest.raises(DatasetError, match="has no image for a row"):
        Dataset.open(folder)
    some.symlink_to("/etc/passwd")
    with pytest.raises(DatasetError, match="is not what Gleanset packs"):
        Dataset.open(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="is no dataset that can be loaded here"):
        Dataset.open(tmp_path / "empty")


async def test_an_image_that_was_damaged(entries: list[Entry], tmp_path: Path) -> None:
    path = await packed(entries, tmp_path, "webdataset", "tar")
    data = bytearray(path.read_bytes())
    at = data.index(picture(3)[100:200])
    data[at] ^= 1
    path.write_bytes(data)
    with Dataset.open(path) as dataset, pytest.raises(DatasetError, match="is damaged: its SHA-256"):
        list(dataset)


async def test_a_shard_that_is_lost(entries: list[Entry], tmp_path: Path) -> None:
    path = await packed(entries, tmp_path, "webdataset", "zip")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    gone = files.pop("train-000000.tar")
    with pytest.raises(DatasetError, match=r"shards differ in train-000000\.tar"):
        Dataset.open(write_zip(tmp_path / "gone.zip", files))
    with pytest.raises(DatasetError, match="it has no samples"):
        Dataset.open(write_zip(tmp_path / "zeros.zip", files | {"train-000000.tar": bytes(len(gone))}))


async def test_shards_that_were_deflated(entries: list[Entry], tmp_path: Path) -> None:
    path = await packed(entries, tmp_path, "webdataset", "zip")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with pytest.raises(DatasetError, match="packed again"):
        Dataset.open(write_zip(tmp_path / "again.zip", files, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("layout", ["csv", "jsonl"])
async def test_what_has_no_images_to_be_read_here(entries: list[Entry], tmp_path: Path, layout: str) -> None:
    path = await packed(entries, tmp_path, layout, "zip")
    with pytest.raises(DatasetError, match="no images that can be loaded here"):
        Dataset.open(path)


def tar_of(*files: tuple[str, bytes]) -> bytes:
    return b"".join(
        member(name, len(data)).tobuf() + data + bytes(-len(data) % 512) for name, data in files
    ) + bytes(1024)  # fmt: skip


ROW = json.dumps({"file_name": "tern/1.jpg", "label": "tern", "sha256": "0" * 64}).encode()
LINK = member("tern/1.jpg", kind=tarfile.SYMTYPE, target="/etc/passwd").tobuf()


HOSTILE = [
    (tar_of(("tern/1.json", ROW)), "no image for a row"),
    (tar_of(("tern/2.jpg", b"x"), ("tern/1.json", ROW)), "no image for a row"),
    (tar_of(("tern/1.jpg", b"x"), ("tern/1.json", b"[]")), "is no object"),
    (tar_of(("tern/1.jpg", b"x"), ("tern/1.json", b"[" * 100_000)), "is damaged"),
    (tar_of(("tern/1.jpg", b"x"), ("tern/1.json", b'{"metadata": "["}')), "is damaged"),
    (tar_of(("../1.jpg", b"x"), ("tern/1.json", ROW)), "not what Gleanset packs"),
    (LINK + tar_of(("tern/1.json", ROW)), "not what Gleanset packs"),
    (tar_of(("tern/1.jpg", bytes(5000)))[:3000], "cannot be read"),
    (b"no tar" * 200, "cannot be read"),
    (member("tern/1.json", 17 << 20).tobuf() + bytes(17 << 20), "has a row of"),
    (b"", "cannot be read"),
    (member("x" * 200, 1).tobuf(tarfile.GNU_FORMAT)[:1024] * 3000, "cannot be read"),
]


@pytest.mark.parametrize(("shard", "says"), HOSTILE, ids=range(len(HOSTILE)))
def test_shards_that_are_none(tmp_path: Path, shard: bytes, says: str) -> None:
    files = {"train-000000.tar": shard}
    files |= {"MANIFEST.sha256": manifest(files)}
    for path in (write_tar(tmp_path / "set.tar", files), write_zip(tmp_path / "set.zip", files)):
        with pytest.raises(DatasetError, match=says):
            Dataset.open(path)


@pytest.mark.parametrize(
    "text", [b'{"images": [\n{"file_name": "x"}\n', b'{"images": [\n[]\n], "annotations": [\n]}\n', b""]
)
def test_files_of_coco_that_are_none(tmp_path: Path, text: bytes) -> None:
    files = dataset_files(1)
    del files["metadata.jsonl"], files["MANIFEST.sha256"]
    files["annotations/instances_train.json"] = text
    with pytest.raises(DatasetError):
        Dataset.open(write_zip(tmp_path / "set.zip", files | {"MANIFEST.sha256": manifest(files)}))
