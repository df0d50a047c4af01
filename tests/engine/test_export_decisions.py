"""Label, split and who wanted an image are told in every format, whatever of its metadata is wanted."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gleanset.export import FORMATS, Options
from gleanset.store import Store
from tests.engine.exporting import lay_out, stored

LAYOUTS = sorted({layout for layout, _ in FORMATS.values()})


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """What is said of each image, wherever it is said."""
    for path in sorted(folder.rglob("*")):
        match path.suffix:
            case ".jsonl":
                yield from (json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1])
            case ".csv":
                with path.open(encoding="utf-8", newline="") as file:
                    yield from csv.DictReader(file)
            case ".parquet":
                yield from pq.read_table(path).to_pylist()
            case ".tar":
                with tarfile.open(path) as shard:
                    yield from (json.load(shard.extractfile(m)) for m in shard if m.name.endswith(".json"))  # type: ignore[arg-type]
            case ".json" if "instances" in path.name:
                yield from json.loads(path.read_text("utf-8"))["images"]
            case _:
                pass


@pytest.mark.parametrize("include_metadata", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_decisions_and_splits_are_told(layout: str, include_metadata: bool, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    plain, wanted = await stored(store, [b"1" * 50, b"2" * 50])
    entries = [
        replace(plain, label="=1+1", split="train", group="0" * 16),
        replace(wanted, label="=1+1", split="test", group="f" * 16, decision="keep"),
    ]
    format_ = next(name for name, (used, _) in FORMATS.items() if used == layout)
    folder = await lay_out(format_, entries, store, tmp_path / "out", Options(include_metadata=include_metadata))
    by_hash = {row["sha256"]: row for row in rows(folder)}
    assert {row["label"] if layout != "parquet" else row["label_name"] for row in by_hash.values()} == {"=1+1"}
    assert (by_hash[plain.sha256]["decision"] or None, by_hash[wanted.sha256]["decision"]) == (None, "keep")
    assert [by_hash[e.sha256]["split"] for e in entries] == ["train", "test"]
    if include_metadata:
        assert [by_hash[e.sha256]["group"] for e in entries] == ["0" * 16, "f" * 16]
