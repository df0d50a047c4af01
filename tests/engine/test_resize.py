"""Resized copies: from the same decode as the measures, upright, and stored instead of the original or beside it."""

from __future__ import annotations

import hashlib
import io
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gleanset.decoders import Decoders
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.gather import Gatherer, GatherOptions
from gleanset.inspect import InspectLimits, inspect, inspect_and_resize
from gleanset.keep import Keep
from gleanset.store import Store
from gleanset.types import Candidate, Downloaded
from tests.engine.hostile import Hostile, reply
from tests.engine.pictures import VARIANTS, encode, photo, sample

LIMITS = InspectLimits()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_copy_of_every_kind_of_picture_is_a_small_upright_jpeg(variant: str) -> None:
    data = sample(variant)
    found, copy = inspect_and_resize(data, LIMITS, 100)
    turned = found.orientation >= 5
    width, height = (found.height, found.width) if turned else (found.width, found.height)
    image = opened(copy.data)
    assert (image.format, image.mode) == ("JPEG", "RGB")
    assert image.size == (copy.width, copy.height)
    assert min(image.size) == min(100, width, height)
    assert abs(image.width / image.height - width / height) < 0.02
    assert copy.sha256 == hashlib.sha256(copy.data).hexdigest()


@pytest.mark.parametrize("variant", VARIANTS)
def test_measures_are_those_without_a_copy(variant: str) -> None:
    alone = inspect(sample(variant))
    beside, _ = inspect_and_resize(sample(variant), LIMITS, 100)
    for name in ("format", "width", "height", "file_size", "sha256", "orientation", "animated"):
        assert getattr(beside, name) == getattr(alone, name)
    distance = int.from_bytes(alone.pdq, "big") ^ int.from_bytes(beside.pdq, "big")
    assert distance.bit_count() <= 16
    assert beside.brightness == pytest.approx(alone.brightness, abs=0.02)


def test_the_copy_looks_like_the_original() -> None:
    original = photo("china")
    data = encode(original, "jpeg", quality=92)
    _, copy = inspect_and_resize(data, LIMITS, 128)
    expected = original.resize((copy.width, copy.height), Image.Resampling.BOX)
    difference = np.abs(np.asarray(opened(copy.data), np.int16) - np.asarray(expected, np.int16))
    assert difference.mean() < 6


def test_transparent_parts_are_white() -> None:
    clear = Image.new("RGBA", (300, 200), (200, 0, 0, 0))
    _, copy = inspect_and_resize(encode(clear, "png"), LIMITS, 64)
    assert np.asarray(opened(copy.data)).min() >= 254


@pytest.mark.parametrize(("keep_original", "kept"), [(False, 1), (True, 2)])
async def test_copies_are_stored_instead_of_originals_or_beside_them(
    tmp_path: Path, keep_original: bool, kept: int
) -> None:
    data = sample("jpeg")
    store = Store(str(tmp_path))
    options = GatherOptions(resize=64, keep_original=keep_original)
    async with Hostile({"/a.jpg": reply(data)}) as server, Fetcher(FetchOptions(allow_private=True)) as fetcher:
        with closing(Decoders(1)) as decoders:
            gatherer = Gatherer(fetcher, store, decoders, LIMITS, options)
            outcome = await gatherer.gather(Candidate(url=server.url("/a.jpg"), label="x", source="urls"))
    assert isinstance(outcome, Downloaded)
    assert outcome.resized is not None
    copy = await store.get(f"{outcome.resized.sha256[:2]}/{outcome.resized.sha256}.jpg")
    assert len(copy) == outcome.resized.file_size
    assert min(opened(copy).size) == 64
    assert await store.get(outcome.key) == (data if keep_original else copy)
    assert outcome.crc32 == zlib.crc32(data if keep_original else copy)
    assert sum(1 for path in tmp_path.rglob("*.jpg")) == kept


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(("resize", "keep_original"), [(None, False), (64, False), (64, True)])
def test_the_crc32_is_that_of_the_file_that_stands_for_the_image(
    tmp_path: Path, local: bool, resize: int | None, keep_original: bool
) -> None:
    data = sample("jpeg")
    folder = str(tmp_path) if local else None
    kept = Keep(folder=folder, limits=LIMITS, resize=resize, keep_original=keep_original)(data)
    assert kept is not None
    handed_on = {key: data if made is None else made for key, made in kept.files}
    file = Store(folder).get_now(kept.key) if folder else handed_on[kept.key]
    assert (file == data) == (resize is None or keep_original)
    assert kept.crc32 == zlib.crc32(file)
