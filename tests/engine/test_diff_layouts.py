"""Exports of every layout are compared with each other by what they say of their images."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gleanset.errors import ExportDamaged, NotAnExport
from gleanset.export import Entry, Options
from gleanset.export.diff import diff
from gleanset.export.parquet_reading import rows as parquet_rows
from gleanset.export.reading import Part, open_package
from gleanset.store import Store
from gleanset.types import Licence
from tests.engine.exporting import lay_out, stored
from tests.engine.packages import KINDS, member, package, rows

LAYOUTS = ("zip", "imagefolder", "webdataset", "parquet", "coco", "yolo", "csv", "jsonl")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "blobs"))


async def images(store: Store) -> list[Entry]:
    made = await stored(store, [bytes([n]) * 1000 for n in range(30)])
    return [
        replace(
            entry,
            label=("cat", "Dög, “old”\nnews")[n % 2],
            split=("train", "test")[n // 20],
            licence=None if n % 3 else Licence("by", "4.0"),
            original_url=f"https://example.org/{n}.png",
            decision="keep" if n == 5 else None,
            metadata={"tags": [n]},
        )
        for n, entry in enumerate(made)
    ]


@pytest.mark.parametrize("inside", ["folder", "zip", "tar"])
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_layout_beside_the_plain_one(store: Store, tmp_path: Path, layout: str, inside: str) -> None:
    """Small shards, so that there are several of a split; what was added, removed and changed shows from both sides."""
    entries = await images(store)
    options = Options(max_shard_bytes=20_000)
    plain = await lay_out("zip", entries, store, tmp_path / "plain", inside="zip")
    same = await lay_out(layout, entries, store, tmp_path / "same", options, inside)
    found = diff(open_package(str(plain)), open_package(str(same)))
    assert (found.added, found.removed, found.changed, found.same) == (0, 0, 0, 30)
    changed = [*entries[:3], replace(entries[3], label="bird"), replace(entries[4], split="test"), *entries[6:]]
    changed = [replace(changed[0], licence=Licence("by", "3.0")), *changed[1:]]
    other = await lay_out(layout, changed, store, tmp_path / "other", options, inside)
    for before, after in ((plain, other), (same, other)):
        found = diff(open_package(str(before)), open_package(str(after)))
        assert (found.added, found.removed, found.changed, found.same) == (0, 1, 3, 26)
        assert {name: n for name, n in found.by_change.items() if n} == {"label": 1, "split": 1, "licence": 1}
        [gone] = [each.before for each in found.listed if each.what == ("removed",)]
        assert gone is not None
        assert gone["original_url"] == "https://example.org/5.png"
        json.dumps([each.after for each in found.listed])  # as the command line tells it


async def test_an_export_without_a_table(store: Store, tmp_path: Path) -> None:
    entries = await images(store)
    below = tmp_path / "below" / "birds" / "set"
    below.parent.mkdir(parents=True)
    await lay_out("imagefolder", entries, store, below)
    found = diff(open_package(str(below)), open_package(str(tmp_path / "below")))
    assert found.same == 30, "folders above do not matter"
    bare = await lay_out("zip", entries, store, tmp_path / "bare", Options(include_metadata=False))
    assert diff(open_package(str(bare)), open_package(str(below))).same == 30
    for table in bare.rglob("metadata.*"):
        table.unlink()
    with pytest.raises(NotAnExport, match="has no table of its images"):
        diff(open_package(str(bare)), open_package(str(bare)))


def parquet(damage: Callable[[bytes], bytes]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"sha256": ["0" * 64]}), file)
    return damage(file.getvalue())


def bomb() -> bytes:
    """One text of 256 MB, a million times over for what it takes."""
    file = io.BytesIO()
    table = pa.table({"label": pa.array([b"x" * (256 << 20)], pa.binary())})
    pq.write_table(table, file, compression="zstd", use_dictionary=False, write_statistics=False)
    assert len(file.getvalue()) < 1 << 20
    return file.getvalue()


def test_a_text_that_comes_again_takes_the_room_of_one() -> None:
    """Else a small file with one long text for all of its rows would fill the memory."""
    file = io.BytesIO()
    texts = pa.DictionaryArray.from_arrays(pa.array([0, None] * 50_000, pa.int32()), ["x" * 1_000_000])
    pq.write_table(pa.table({"label": texts}), file, store_schema=False)
    part = Part("data/train-00000.parquet", len(file.getvalue()), None)
    first, _, third = islice(parquet_rows(file, part), 3)
    assert first["label"] is third["label"]
    assert len(list(parquet_rows(file, part))) == 100_000


async def test_no_damage_of_parquet_ends_the_process(store: Store, tmp_path: Path) -> None:
    """Arrow's own look into a damaged directory does."""
    folder = await lay_out("parquet", (await images(store))[:3], store, tmp_path / "out")
    [shard] = (folder / "data").iterdir()
    whole = shard.read_bytes()
    told = 0
    for at in range(len(whole) - 1, len(whole) - 6000, -3):
        data = bytearray(whole)
        data[at] ^= 0x55
        try:
            list(parquet_rows(io.BytesIO(data), Part("data/train-00000.parquet", len(data), None)))
        except ExportDamaged:
            told += 1
    assert told > 200


HEAD = b'{"info": {}, "images": [\n'
SHARD = member("cat/1.json", 17 << 20).tobuf() + bytes(17 << 20)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("metadata.csv", b"sha256,label\n\xff,cat\n", "is no CSV"),
        ("metadata.csv", b'label\n"' + b"x" * (17 << 20), "is no CSV"),
        ("data/train-00000.parquet", b"PAR1", "not a readable Parquet file"),
        ("data/train-00000.parquet", parquet(lambda data: data[:-20]), "not a readable Parquet file"),
        ("data/train-00000.parquet", bomb(), "a trap"),
        ("annotations/instances_train.json", b"[]", "does not list its images"),
        ("annotations/instances_train.json", HEAD + b'{"id": 1},\n[2]\n], "annotations": [\n]}', "is no object"),
        ("annotations/instances_train.json", HEAD + b'{"id": 1}\n', "does not list its images"),
        ("train-000000.tar", b"no tar at all" * 100, "cannot be read|no export"),
        ("train-000000.tar", SHARD, "a row larger"),
        ("train-000000.tar", member("cat/1.json", 2).tobuf() + b"[]" + bytes(1534), "is no object"),
        ("train-000000.tar", member("cat/1.json", 999).tobuf() + b"{}", "cannot be read|ends after"),
    ],
)
def test_damaged_tables(tmp_path: Path, kind: str, name: str, data: bytes, says: str) -> None:
    damaged = package(tmp_path, kind, [(name, data)])
    (tmp_path / "whole").mkdir()
    whole = package(tmp_path / "whole", "tar", rows({"sha256": "0" * 64}))
    with pytest.raises(ExportDamaged, match=says):
        diff(open_package(damaged), open_package(whole))
