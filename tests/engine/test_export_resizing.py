"""Copies of another size in exports: their sizes, which way is up, what is said of them, and what it costs."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image

from gleanset.errors import ExportError
from gleanset.export import Entry, Options, Resize
from gleanset.export.images import entry_of
from gleanset.resizing import resized as resized_bytes
from gleanset.store import Store
from tests.engine.exporting import entry, lay_out, stored

RED, GREEN, WHITE = (200, 30, 30), (30, 160, 30), (255, 255, 255)


def halves(width: int, height: int, format_: str = "jpeg", orientation: int = 1) -> bytes:
    """Red on the left, green on the right; saved so that `orientation` turns it to this."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(GREEN, (width // 2, 0, width, height))
    turned = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    stored_ = picture.transpose(turned) if turned else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    stored_.save(file, format_, exif=exif)
    return file.getvalue()


def described(data: bytes, **more: Any) -> Entry:
    with Image.open(BytesIO(data)) as picture:
        facts = {"width": picture.width, "height": picture.height, "format": (picture.format or "").lower()}
    return entry(data, **facts, **more)


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def near(picture: Image.Image, x: int, y: int, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.asarray(picture.convert("RGB"))[y, x].astype(int) - colour).max() < 24)


def resized(entry: Entry, data: bytes, resize: Resize) -> tuple[Entry, bytes]:
    """As an export has it."""
    return entry_of(entry, resized_bytes(entry.key, entry.width, entry.height, data, resize), resize)


@pytest.mark.parametrize("source", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(
    ("mode", "size", "becomes"),
    [
        ("shorter", (100, 100), (200, 100)),
        ("longer", (100, 100), (100, 50)),
        ("crop", (90, 120), (90, 120)),
        ("pad", (90, 120), (90, 120)),
        ("shorter", (9000, 9000), (1200, 600)),
        ("pad", (1300, 700), (1300, 700)),
        ("crop", (1300, 300), (1300, 300)),
    ],
)
def test_sizes(source: str, orientation: int, mode: Any, size: tuple[int, int], becomes: tuple[int, int]) -> None:
    data = halves(1200, 600, source, orientation)
    made, copy = resized(described(data), data, Resize(mode=mode, width=size[0], height=size[1]))
    with opened(copy) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (made.width, made.height) == becomes
        assert near(picture, becomes[0] // 4, becomes[1] // 2, RED)
        assert near(picture, becomes[0] * 3 // 4, becomes[1] // 2, GREEN)
        framed = mode == "pad" or size == (1300, 300)
        assert near(picture, 0, 0, WHITE) == framed


@pytest.mark.parametrize(("format_", "name"), [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
def test_formats(format_: Any, name: str) -> None:
    noise = Image.effect_noise((400, 300), 90).convert("RGB")
    file = BytesIO()
    noise.save(file, "png")
    data = file.getvalue()
    first = described(data, metadata={"tags": ["cat"]})
    made, copy = resized(first, data, Resize(mode="longer", width=200, height=200, format=format_))
    with opened(copy) as picture:
        assert (picture.format, picture.size) == (name, (200, 150))
    assert (made.format, made.file_size, made.sha256) == (format_, len(copy), hashlib.sha256(copy).hexdigest())
    facts = {"sha256": first.sha256, "format": "png", "width": 400, "height": 300, "file_size": len(data)}
    assert (made.original, made.metadata) == (facts, {"tags": ["cat"]})
    if format_ != "png":
        low = Resize(mode="longer", width=200, height=200, format=format_, quality=30)
        assert len(resized(first, data, low)[1]) < 0.6 * len(copy)


def test_what_was_resized_before_tells_of_its_own_original() -> None:
    data = halves(100, 50)
    facts = {"sha256": "0" * 64}
    made, _ = resized(described(data, original=facts), data, Resize(mode="shorter", width=20, height=20))
    assert made.original == facts


def test_what_cannot_be_resized_is_said() -> None:
    data = halves(100, 50)
    first = described(data)
    with pytest.raises(ExportError, match=f"{first.key} cannot be resized"):
        resized(first, data[:200], Resize(mode="shorter", width=20, height=20))
    with pytest.raises(ExportError, match="cannot be resized"):
        resized(first, data, Resize(mode="pad", width=16_384, height=16, format="webp"))


async def test_in_every_layout(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "blobs"))
    sizes = [(300, 200), (64, 400), (30, 30)]
    entries: list[Entry] = []
    for n, (width, height) in enumerate(sizes):
        (made,) = await stored(store, [halves(width, height, ["jpeg", "png"][n % 2])], ["jpeg", "png"][n % 2])
        entries.append(replace(made, width=width, height=height))
    options = Options(resize=Resize(mode="crop", width=48, height=48, format="webp"))
    folder = await lay_out("imagefolder", entries, store, tmp_path / "out", options)
    rows = [json.loads(line) for line in (folder / "train" / "metadata.jsonl").read_text().splitlines()]
    for row, made in zip(rows, entries, strict=True):
        content = (folder / "train" / row["file_name"]).read_bytes()
        assert row["file_name"] == f"cat/{hashlib.sha256(content).hexdigest()}.webp"
        assert (row["width"], row["height"], row["format"], row["file_size"]) == (48, 48, "webp", len(content))
        assert json.loads(row["metadata"])["original"]["sha256"] == made.sha256
        with opened(content) as picture:
            assert picture.size == (48, 48)
    shards = await lay_out("webdataset", entries, store, tmp_path / "shards", options)
    assert b"/" + rows[0]["sha256"].encode() + b".webp" in (shards / "train-000000.tar").read_bytes()


@pytest.mark.parametrize("format_", ["webdataset", "parquet"])
async def test_memory_does_not_grow_with_the_dataset(format_: str, tmp_path: Path) -> None:
    """200 MB of images; what Python holds meanwhile is what is read ahead, and Arrow a group of rows."""
    store = Store(str(tmp_path / "blobs"))
    entries = await stored(store, [bytes([n]) * 4_000_000 for n in range(50)])
    before = pyarrow.default_memory_pool()
    pool = pyarrow.proxy_memory_pool(before)
    pyarrow.set_memory_pool(pool)
    tracemalloc.start()
    try:
        await lay_out(format_, entries, store, tmp_path / "out")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        pyarrow.set_memory_pool(before)
    assert peak < 120_000_000
    assert pool.max_memory() < 100_000_000
