"""Parquet exports, whose images are read one by one from where they lie in the shards."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gleanset.client import Dataset
from gleanset.errors import DatasetError
from gleanset.export import Entry, Options
from gleanset.store import Store
from tests.client.making import manifest, picture, write_tar, write_zip
from tests.engine.exporting import lay_out, stored

NAME = "data/train-00000-of-00001.parquet"


@pytest.fixture
async def entries(tmp_path: Path) -> list[Entry]:
    """Pictures of 1 kB to 1.3 MB: many that share a page, and some that are larger than one."""
    sides = [16, 24, 700, 16, 32, 160, 16, 700, 24, 20, 16, 300]
    made = await stored(Store(str(tmp_path / "blobs")), [picture(n, side) for n, side in enumerate(sides)], "jpeg")
    return [
        replace(
            entry,
            label=("tern", "Gull, “old”\nnews")[n % 2],
            split=("train", "test")[n // 8],
            width=sides[n],
            height=sides[n],
            fetched_at=datetime(2026, 5, 4, 3, 2, 1, n, UTC) if n % 3 else None,
            metadata={"n": n},
        )
        for n, entry in enumerate(made)
    ]


async def packed(entries: list[Entry], folder: Path, inside: str = "zip", **options: Any) -> Path:
    store = Store(str(folder / "blobs"))
    return await lay_out("parquet", entries, store, folder / f"set.{inside}", Options(**options), inside)


@pytest.mark.parametrize("group", [1, 5_000, 64 << 20])
@pytest.mark.parametrize("inside", ["zip", "tar"])
async def test_any_image_at_any_time(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str, group: int
) -> None:
    """With one image in a group of rows, with some, and with all of a shard."""
    monkeypatch.setattr("gleanset.export.parquet_shard._ROW_GROUP", group)
    path = await packed(entries, tmp_path, inside)
    with Dataset.open(path) as dataset:
        assert dataset.splits == {"test": 4, "train": 8}
        by_hash = {entry.sha256: n for n, entry in enumerate(entries)}
        for image, label, row in dataset.as_bytes().shuffled(3):
            n = by_hash.pop(row["sha256"])
            fetched = entries[n].fetched_at
            assert hashlib.sha256(image).hexdigest() == entries[n].sha256
            assert (label, row["label"], row["metadata"]) == (entries[n].label, entries[n].label, {"n": n})
            assert row["fetched_at"] == (fetched and fetched.isoformat())
            assert (row["width"], row["title"]) == (entries[n].width, None)
            assert str(row["file_name"]).endswith(f"/{entries[n].sha256}.jpg")
        assert by_hash == {}
        assert {image.size for image, _, _ in dataset} == {(side, side) for side in (16, 20, 24, 32, 160, 300, 700)}


async def test_in_other_processes_and_libraries(entries: list[Entry], tmp_path: Path) -> None:
    with Dataset.open(await packed(entries, tmp_path)) as dataset:
        pairs = dataset.split("train").to_torch()
        for method in ("fork", "spawn"):
            with ProcessPoolExecutor(2, get_context(method)) as pool:
                sizes = [image.size for image, _ in pool.map(pairs.__getitem__, range(8))]
            assert sizes == [(entry.width, entry.height) for entry in entries[:8]]
        assert dataset.to_pandas()["fetched_at"].notna().sum() == 8


async def test_without_metadata(entries: list[Entry], tmp_path: Path) -> None:
    path = await packed(entries, tmp_path, include_metadata=False, max_shard_bytes=100_000)
    with Dataset.open(path) as dataset:
        assert {(label, row["sha256"]) for _, label, row in dataset} == {(e.label, e.sha256) for e in entries}
        assert "width" not in dataset[0].metadata


async def test_what_is_damaged_or_lost(entries: list[Entry], tmp_path: Path) -> None:
    path = await packed(entries, tmp_path, max_shard_bytes=400_000)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    shards = [name for name in files if name.endswith(".parquet")]
    assert len(shards) > 3
    lost = {name: data for name, data in files.items() if name != shards[1]}
    with pytest.raises(DatasetError, match=f"shards differ in {shards[1]}"):
        Dataset.open(write_zip(tmp_path / "lost.zip", lost))
    with pytest.raises(DatasetError, match="packed again"):
        Dataset.open(write_zip(tmp_path / "again.zip", files, zipfile.ZIP_DEFLATED))
    data = bytearray(path.read_bytes())
    data[data.index(picture(5)[100:200])] ^= 1
    path.write_bytes(data)
    with Dataset.open(path) as dataset, pytest.raises(DatasetError, match="is damaged: its SHA-256"):
        list(dataset)


COLUMNS = {"image": pa.struct([("bytes", pa.binary()), ("path", pa.string())])}
COLUMNS |= dict.fromkeys(("label", "sha256", "metadata"), pa.string())


def shard(
    damage: Callable[[bytes], bytes] = bytes, *, image: bool = True, bytes_: bytes | None = None, **options: Any
) -> bytes:
    """Three rows, as Gleanset writes them unless `options` say otherwise; `label` is the name here."""
    given: dict[str, Any] = {"compression": "none", "use_dictionary": ["label"], "write_statistics": False}
    rows: list[dict[str, Any]] = [
        {
            "image": {"bytes": picture(n, 16) if bytes_ is None or n != 1 else bytes_ or None, "path": f"tern/{n}.jpg"},
            "label": "tern",
            "sha256": hashlib.sha256(picture(n, 16)).hexdigest(),
            "metadata": options.pop("metadata", "{}"),
        }
        for n in range(3)
    ]
    schema = pa.schema(list(COLUMNS.items()))
    table = pa.Table.from_pylist(rows, schema)
    file = io.BytesIO()
    pq.write_table(table if image else table.drop_columns("image"), file, **given | options)
    return damage(file.getvalue())


def write(folder: Path, data: bytes) -> list[Path]:
    files = {NAME: data}
    files |= {"MANIFEST.sha256": manifest(files)}
    return [write_tar(folder / "set.tar", files), write_zip(folder / "set.zip", files)]


def test_labels_without_numbers(tmp_path: Path) -> None:
    for path in write(tmp_path, shard()):
        with Dataset.open(path) as dataset:
            assert [(image, label) for image, label, _ in dataset.as_bytes()] == [
                (picture(n, 16), "tern") for n in range(3)
            ]


def changed(find: bytes, by: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert find in data
        return data.replace(find, by, 1)

    return change


LENGTH = len(picture(1, 16)).to_bytes(4, "little")
HOSTILE = [
    (shard(compression="snappy"), "not stored as Gleanset stores them"),
    (shard(use_dictionary=True), "not stored as Gleanset stores them"),
    (shard(data_page_version="2.0"), "not stored as Gleanset stores them"),
    (shard(bytes_=b""), "a page of its images is damaged|cut off"),
    (shard(changed(LENGTH, b"\xff\xff\xff\xff")), "cut off"),
    (shard(changed(LENGTH, b"\0\0\0\0")), "cut off|damaged"),
    (shard(changed(b"PAR1\x15\x00", b"PAR1\x15\x04")), "what it says of its pages"),
    (shard(changed(b"PAR1\x15\x00", b"PAR1\x1c\x1c")), "what it says of its pages"),
    (shard(changed(b"PAR1\x15\x00", b"PAR1\xf9\xf9")), "what it says of its pages"),
    (shard(lambda data: data[:-20]), "no directory at its end"),
    (shard(lambda data: data[:-8] + b"\xff\xff\xff\xffPAR1"), "no directory at its end"),
    (shard(lambda data: data[:-8] + b"\1\0\0\0PAR1"), "cannot be read"),
    (shard(lambda data: b"PAR1" + bytes(100) + data[104:]), "what it says of its pages"),
    (shard(image=False), "has no images"),
    (shard(changed(b"\x19\x18\x05label", b"\x19\x65\x05label")), "what it says of its pages is damaged"),
    (shard(lambda data: data.replace(b"path", b"moth")), "no image for a row"),
    (shard(metadata="["), "cannot be read"),
    (shard(metadata="[" * 100_000), "cannot be read"),
    (b"PAR1", "no directory at its end"),
    (b"", "no directory at its end"),
]


@pytest.mark.parametrize(("data", "says"), HOSTILE, ids=range(len(HOSTILE)))
def test_shards_that_are_none(tmp_path: Path, data: bytes, says: str) -> None:
    for path in write(tmp_path, data):
        with pytest.raises(DatasetError, match=says):
            Dataset.open(path)


def test_a_small_shard_that_unfolds(tmp_path: Path) -> None:
    file = io.BytesIO()
    image = pa.array([{"bytes": b"x", "path": "x"}], COLUMNS["image"])
    table = pa.table({"image": image, "label": pa.array([b"x" * (256 << 20)], pa.binary())})
    pq.write_table(table, file, compression="zstd", use_dictionary=False, write_statistics=False)
    for path in write(tmp_path, file.getvalue()):
        with pytest.raises(DatasetError, match="a trap"):
            Dataset.open(path)


def test_any_damage_is_told(tmp_path: Path) -> None:
    """Every seventh byte of a small shard in turn: what still opens has only images that are what their rows say."""
    whole = shard()
    told = 0
    for at in range(0, len(whole), 7):
        data = bytearray(whole)
        data[at] ^= 0x55
        path = write(tmp_path, bytes(data))[0]
        try:
            with Dataset.open(path) as dataset:
                for image, _, row in dataset.as_bytes():
                    assert hashlib.sha256(image).hexdigest() == row["sha256"]
                    json.dumps(row)
        except DatasetError:
            told += 1
    assert told > len(whole) // 14
