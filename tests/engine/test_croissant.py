"""croissant.json, read by mlcroissant itself: it validates without a complaint, and its records are the dataset's."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from gleanset.export import Options, export, form_of
from gleanset.export.base import METADATA_FIELDS, About, Entry, file_name, metadata_row
from gleanset.export.croissant import croissant
from gleanset.export.files import File
from gleanset.export.guide import guide_to_plain
from gleanset.export.tally import Tally
from gleanset.store import Store
from gleanset.types import Licence
from tests.engine.exporting import lay_out, silent, stored, stream
from tests.engine.pictures import encode, sample
from tests.web import picture

ABOUT = About(
    name='Cats "and" 漢字 \u2028 {dogs}\\',
    keywords=["cat"],
    rules={"min_width": 64},
    failures={},
    invalid={},
    created=datetime(2026, 3, 4, 5, tzinfo=UTC),
)


def entry(data: bytes, image_format: str, **more: Any) -> Entry:
    digest = hashlib.sha256(data).hexdigest()
    given: dict[str, Any] = {
        "position": 1,
        "key": digest,
        "sha256": digest,
        "label": "cat",
        "format": image_format,
        "width": 320,
        "height": 213,
        "file_size": len(data),
        "original_url": f"https://example.org/{image_format}",
    }
    return Entry(**given | more)


def written(folder: Path, pictures: list[tuple[bytes, Entry]]) -> dict[str, Any]:
    """A dataset in a folder, of which croissant.json is the last; what that says."""
    tally = Tally()
    table = b""
    for data, each in pictures:
        path = folder / file_name(each)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        table += (json.dumps(metadata_row(each, file_name(each))) + "\n").encode()
        tally.add(each)
    (folder / "metadata.jsonl").write_bytes(table)
    files = {"metadata.jsonl": File(hashlib.sha256(table).hexdigest(), len(table))}
    document = croissant(ABOUT, tally, guide_to_plain([*METADATA_FIELDS, "metadata"], {}).describe(files))
    (folder / "croissant.json").write_bytes(document)
    return json.loads(document)


def read(*folders: Path) -> list[dict[str, Any]]:
    """As mlcroissant sees it, in a process of its own: it takes seconds and hundreds of megabytes to import."""
    command = [sys.executable, str(Path(__file__).with_name("read_croissant.py"))]
    command += [str(folder / "croissant.json") for folder in folders]
    environment = os.environ | {"CROISSANT_CACHE": str(folders[0].parent / "unpacked")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_an_export_is_what_its_clients_load(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    made = await stored(store, [picture(n) for n in range(6)], "jpeg")
    many = [
        replace(each, label=f"label {n % 2}", split=("train", "test")[n // 4], licence=Licence("by", "4.0"))
        for n, each in enumerate(made)
    ]
    sets = {
        "folder": {"images": 6, "images-rows": 6},
        "imagefolder": {"train": 4, "train-rows": 4, "test": 2, "test-rows": 2},
        "yolo": {"images": 6, "images-rows": 6},
        "parquet": {"images": 6},
        "coco": {"train": 4, "train-rows": 4, "test": 2, "test-rows": 2},
        "webdataset": {"images": 6, "images-rows": 6},
        "csv": {"rows": 6},
        "jsonl": {"rows": 6},
    }
    folders: list[Path] = []
    for options in (Options(), Options(include_metadata=False)):
        for format_ in sets:
            folders.append(tmp_path / f"{len(folders)}")
            form = form_of(format_, "folder")
            await export(form, stream(many), store, folders[-1], ABOUT, silent, options)
            assert (folders[-1] / "contact-sheet.jpg").exists() == (format_ not in ("csv", "jsonl"))
    for found, (format_, expected) in zip(read(*folders), [*sets.items(), *sets.items()], strict=True):
        assert found["complaints"] == [], format_
        counted = {name: len(records) for name, records in found["sets"].items()}
        assert counted == expected | {"labels": 2, "splits": 2}, format_
        for name, records in found["sets"].items():
            for record in records:
                assert record.get(f"{name}/image", [128, 96]) == [128, 96]
                assert record.get(f"{name}/label", "label 0") in ("label 0", "label 1")
                assert f"{name}/label" in record or name in ("labels", "splits")
    hub_reads(folders[0], folders[1], tmp_path)


def hub_reads(plain: Path, imagefolder: Path, cache: Path) -> None:
    """Hugging Face's libraries: the card's head, and the rows that it leads to."""
    command = [sys.executable, str(Path(__file__).with_name("read_hub.py")), str(plain), str(imagefolder)]
    environment = os.environ | {"HF_HOME": str(cache / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for told, rows in zip(json.loads(done.stdout), ({"train": 4, "test": 2}, {"train": 4, "test": 2}), strict=True):
        assert told["rows"] == rows
        assert told["size"] == [128, 96]
        assert told["labels"] == ["label 0", "label 1"]
        assert told["card"]["license"] == ["cc-by-4.0"]
        assert told["card"]["pretty_name"] == ABOUT.name


def test_mlcroissant_validates_and_loads_it(tmp_path: Path) -> None:
    pictures = [
        (
            sample(image_format),
            entry(sample(image_format), image_format, label="Größe/漢" if n % 2 else "007", split="train"),
        )
        for n, image_format in enumerate(("jpeg", "png", "webp", "gif", "tiff", "bmp", "avif"))
    ]
    (data, first), *_ = pictures
    licensed = replace(
        first, label="dog", split="test", title="A cat", creator="Ann", licence=Licence("by", "4.0"), decision="keep",
        fetched_at=datetime(2026, 1, 2, 3, tzinfo=UTC), metadata={"tags": ["a"]},
    )  # fmt: skip
    pictures.append((data, licensed))
    document = written(tmp_path, pictures)
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    [found] = read(tmp_path)
    assert found["complaints"] == []
    assert found["version"].startswith("2026.3.4+")
    records = {record["images/file_name"]: record for record in found["sets"]["images"]}
    assert records.keys() == {file_name(each) for _, each in pictures}
    assert len(found["sets"]["images"]) == len(found["sets"]["images-rows"]) == len(pictures)
    for _, each in pictures:
        record = records[file_name(each)]
        assert record["images/image"] == [320, 213]
        assert record["images/sha256"] == each.sha256
        assert record["images/split"] == each.split
        assert record["images/width"] == 320
    told = records[file_name(licensed)]
    assert (told["images/label"], told["images/creator"], told["images/licence"]) == ("dog", "Ann", "by")
    assert told["images/fetched_at"].startswith("2026-01-02")
    assert found["sets"]["splits"] == [
        {"splits/name": "test", "splits/images": 1},
        {"splits/name": "train", "splits/images": 7},
    ]
    assert {each["labels/name"] for each in found["sets"]["labels"]} == {"007", "Größe/漢", "dog"}


async def test_shards_of_equal_names_are_not_mixed_up(tmp_path: Path) -> None:
    """Two datasets whose shards and images are all called the same, read by one who keeps what it unpacks."""
    store = Store(str(tmp_path / "blobs"))
    formats = ("jpeg", "png", "webp", "gif", "tiff", "bmp", "avif")
    datasets: list[list[Entry]] = []
    for size in (100, 200):
        made: list[Entry] = []
        for n, format_ in enumerate(formats):
            data = encode(Image.new("RGB", (size + n, 50), (size, n, 0)), format_)
            (one,) = await stored(store, [data], format_)
            label, split = f"label {n % 2}", ("train", "test")[n // 4]
            made.append(replace(one, width=size + n, label=label, split=split, title="T"))
        datasets.append([*made, made[-1]])
    options = Options(rename="number", max_shard_bytes=30_000)
    folders = [await lay_out("webdataset", one, store, tmp_path / f"{n}", options) for n, one in enumerate(datasets)]
    assert len({path.name for folder in folders for path in folder.glob("*.tar")}) > 2
    for found, entries in zip(read(*folders), datasets, strict=True):
        assert found["complaints"] == []
        records = found["sets"]["images"]
        told = ("image", "sha256", "label", "split", "title", "width")
        assert sorted([record[f"images/{name}"] for name in told] for record in records) == sorted(
            [[each.width, 50], each.sha256, each.label, each.split, "T", each.width] for each in entries
        )
        assert len({record["images/file_name"] for record in records}) == len(entries)


def test_a_dataset_of_webp_alone(tmp_path: Path) -> None:
    written(tmp_path, [(sample("webp"), entry(sample("webp"), "webp"))])
    [found] = read(tmp_path)
    assert found["complaints"] == []
    assert [record["images/image"] for record in found["sets"]["images"]] == [[320, 213]]
    assert found["sets"]["images"][0]["images/title"] is None
