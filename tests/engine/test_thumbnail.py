"""Thumbnails are made with the defences of the inspection: what it refuses makes none."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from gleanset.errors import ImageRefused
from gleanset.inspect import InspectLimits, make_thumbnail
from tests.engine.hostile_pictures import ACCEPTED, REFUSED
from tests.engine.pictures import VARIANTS, encode, photo, sample

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as outside of tests, where they are ignored


@pytest.mark.parametrize("variant", VARIANTS)
def test_of_every_kind_of_picture(variant: str) -> None:
    image = Image.open(io.BytesIO(make_thumbnail(sample(variant))))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (320, 213))


@pytest.mark.parametrize("size", [(3000, 20), (20, 3000), (1, 1), (641, 640)])
def test_of_odd_sizes(size: tuple[int, int]) -> None:
    width, height = Image.open(io.BytesIO(make_thumbnail(encode(photo("china").resize(size), "png")))).size
    assert max(width, height) == min(320, max(size))
    assert min(width, height) >= 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_has_none(name: str) -> None:
    make, _ = REFUSED[name]
    with pytest.raises(ImageRefused):
        make_thumbnail(make(), InspectLimits(max_pixels=1_000_000))


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_odd_but_sound_has_one(name: str) -> None:
    make, _ = ACCEPTED[name]
    assert Image.open(io.BytesIO(make_thumbnail(make()))).format == "JPEG"
