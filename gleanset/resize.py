"""The smaller copy of a picture that may be kept instead of its original, or beside it."""

from __future__ import annotations

import hashlib
from typing import cast

import cv2
import numpy as np
import simplejpeg  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from PIL import Image

from gleanset.types import Resized

Pixels = NDArray[np.uint8]

QUALITY = 95
THUMBNAIL_SIDE = 320
_THUMBNAIL_QUALITY = 80


def resized_copy(colours: Pixels, orientation: int, side: int) -> Resized:
    """An upright JPEG whose shorter side is `side`; a picture that is smaller already keeps its size.

    colours: height x width x 3, RGB, as decoded, at least `side` on its shorter side if the picture is.
    """
    colours = upright(_shrunk(colours, side / min(colours.shape[:2])), orientation)
    data = simplejpeg.encode_jpeg(colours, quality=QUALITY, colorsubsampling="420")
    return Resized(data=data, width=colours.shape[1], height=colours.shape[0], sha256=hashlib.sha256(data).hexdigest())


def thumbnail(colours: Pixels, orientation: int) -> bytes:
    """An upright JPEG whose longer side is THUMBNAIL_SIDE, or shorter if the picture is; colours as above."""
    small = upright(_shrunk(colours, THUMBNAIL_SIDE / max(colours.shape[:2])), orientation)
    return simplejpeg.encode_jpeg(small, quality=_THUMBNAIL_QUALITY, colorsubsampling="420")


def _shrunk(colours: Pixels, scale: float) -> Pixels:
    if scale >= 1:
        return colours
    height, width = colours.shape[:2]
    return shrunk_to(colours, max(1, round(width * scale)), max(1, round(height * scale)))


def shrunk_to(colours: Pixels, width: int, height: int) -> Pixels:
    """The picture in this size, which is not larger than its own."""
    if colours.shape[:2] == (height, width):
        return colours
    # Below a factor of two, two taps a side reach every pixel, and cost a tenth of area averaging.
    method = cv2.INTER_LINEAR if 2 * min(height, width) > min(colours.shape[:2]) else cv2.INTER_AREA
    return cast(Pixels, cv2.resize(colours, (width, height), interpolation=method))


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Pixels, rows first, turned and mirrored as EXIF's orientation (1..8) says."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def colours_on_white(image: Image.Image) -> Pixels:
    """8-bit RGB of a mode that Pillow can turn into it, transparent parts on white: height x width x 3."""
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(image.convert("RGB"))
