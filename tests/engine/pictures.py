"""Photographs that come with packages, in every format that `inspect` reads, and in several ways of writing it."""

from __future__ import annotations

import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

PHOTOS = {
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "camera": ("skimage", "data/camera.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "coins": ("skimage", "data/coins.png"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
FORMATS = ("jpeg", "png", "webp", "gif", "tiff", "avif", "bmp")
VARIANTS = (*FORMATS, "jpeg progressive", "tiff lzw", "tiff jpeg", "tiff deflate", "webp lossless")
OPTIONS = {
    "png": {"compress_level": 1},
    "jpeg progressive": {"progressive": True},
    "tiff lzw": {"compression": "tiff_lzw"},
    "tiff jpeg": {"compression": "jpeg"},
    "tiff deflate": {"compression": "tiff_deflate"},
    "webp lossless": {"lossless": True},
    "avif": {"speed": 9},
}


@cache
def photo(name: str) -> Image.Image:
    package, path = PHOTOS[name]
    spec = find_spec(package)  # finds the folder without the seconds that importing the package takes
    assert spec is not None
    assert spec.origin is not None
    return Image.open(Path(spec.origin).parent / path).convert("RGB")


def encode(image: Image.Image, variant: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, variant.split()[0], **(OPTIONS.get(variant, {}) | options))
    return buffer.getvalue()


@cache
def sample(variant: str) -> bytes:
    return encode(photo("china").resize((320, 213)), variant)
