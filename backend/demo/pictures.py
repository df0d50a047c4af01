"""Recipes of pictures and the bytes they come to: the same recipe gives the same bytes at every run."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from backend.demo.brush import Pixels, textured
from backend.demo.scenes import SCENES

Format = Literal["jpeg", "png", "webp", "gif"]
Mood = Literal["plain", "dark", "blurred"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What to draw and how to save it. `scale` shrinks or enlarges the finished drawing, as a resized copy does."""

    subject: str
    seed: int
    width: int
    height: int
    mood: Mood = "plain"
    scale: float = 1.0
    format: Format = "jpeg"
    quality: int = 88

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as saved."""
        return round(self.width * self.scale), round(self.height * self.scale)


def render(picture: Picture) -> bytes:
    """Draw and encode. CPU-bound, about 15 ms: call it in a thread."""
    pixels = _drawn(picture)
    if picture.scale != 1.0:
        # Cubic keeps the grain, and so the sharpness, of a copy a little smaller; far smaller, it would only flicker.
        method = cv2.INTER_CUBIC if picture.scale > 0.5 else cv2.INTER_AREA
        pixels = np.asarray(cv2.resize(pixels, picture.size, interpolation=method), np.uint8)
    return _encoded(Image.fromarray(pixels), picture)


def _drawn(picture: Picture) -> Pixels:
    rng = np.random.default_rng([zlib.crc32(picture.subject.encode()), picture.seed])
    canvas = np.zeros((picture.height, picture.width, 3), np.uint8)
    SCENES[picture.subject](rng, canvas)
    match picture.mood:
        case "plain":
            return textured(rng, canvas, 1.1)
        case "dark":  # underexposed, so with noise, as cameras do it
            return textured(rng, np.asarray(canvas * 0.09 + 8, np.uint8), 1.6)
        case "blurred":
            blurred = cv2.GaussianBlur(canvas, (0, 0), max(picture.width, picture.height) / 70)
            return np.asarray(blurred, np.uint8)


def _encoded(image: Image.Image, picture: Picture) -> bytes:
    out = BytesIO()
    match picture.format:
        case "jpeg":
            image.save(out, "JPEG", quality=picture.quality)
        case "webp":
            image.save(out, "WEBP", quality=picture.quality, method=1)
        case "png":
            image.save(out, "PNG", compress_level=3)
        case "gif":
            image.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "GIF")
    return out.getvalue()
