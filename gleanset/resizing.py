"""Copies of another size that are packed instead of the images as they are stored."""

from __future__ import annotations

import hashlib
import math
from typing import cast

import cv2
import numpy as np
import simplejpeg  # pyright: ignore[reportMissingTypeStubs]

from gleanset.copying import Copied
from gleanset.errors import ExportError, ImageRefused
from gleanset.inspect import InspectLimits, colours_of
from gleanset.resize import QUALITY, Pixels, shrunk_to, upright
from gleanset.types import Resize

_WEBP_QUALITY = 90
_WHITE = (255, 255, 255)


def resized(key: str, width: int, height: int, data: bytes, resize: Resize) -> Copied:
    """The copy of a stored picture, so many pixels wide and high as it is stored.

    Raises ExportError for a picture that cannot be decoded, or a size that the format cannot have.
    """
    try:
        pixels = _fitted(data, width, height, resize)
        copy = _encoded(pixels, resize)
    except (ImageRefused, cv2.error, ValueError) as error:
        raise ExportError(f"The stored image {key} cannot be resized: {error}") from error
    return copy, hashlib.sha256(copy).hexdigest(), pixels.shape[1], pixels.shape[0]


def _fitted(data: bytes, width: int, height: int, resize: Resize) -> Pixels:
    """The copy's pixels; width and height are those of the original as stored."""
    # Whether it lies on its side is known when it is decoded, so that has to do for both.
    least = max(_scale(width, height, resize), _scale(height, width, resize)) * min(width, height)
    limits = InspectLimits(max_pixels=max(InspectLimits().max_pixels, width * height))
    colours, orientation = colours_of(data, limits, max(1, math.ceil(least)))
    scale = _scale(height, width, resize) if orientation >= 5 else _scale(width, height, resize)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = upright(shrunk_to(colours, *size), orientation)
    return _framed(pixels, resize.width, resize.height) if resize.mode in ("crop", "pad") else pixels


def _scale(width: int, height: int, resize: Resize) -> float:
    """By how much an upright picture is to be scaled."""
    match resize.mode:
        case "shorter":
            scale = resize.width / min(width, height)
        case "longer":
            scale = resize.width / max(width, height)
        case "crop":
            scale = max(resize.width / width, resize.height / height)
        case "pad":
            scale = min(resize.width / width, resize.height / height)
    return min(1.0, scale)


def _framed(pixels: Pixels, width: int, height: int) -> Pixels:
    """The middle, so many pixels wide and high; white where there is nothing."""
    top, left = max(0, pixels.shape[0] - height) // 2, max(0, pixels.shape[1] - width) // 2
    pixels = pixels[top : top + height, left : left + width]
    above, before = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    below, behind = height - pixels.shape[0] - above, width - pixels.shape[1] - before
    framed = cv2.copyMakeBorder(pixels, above, below, before, behind, cv2.BORDER_CONSTANT, value=_WHITE)
    return cast(Pixels, framed)


def _encoded(pixels: Pixels, resize: Resize) -> bytes:
    if resize.format == "jpeg":
        return simplejpeg.encode_jpeg(pixels, quality=resize.quality or QUALITY, colorsubsampling="420")
    options = [cv2.IMWRITE_WEBP_QUALITY, resize.quality or _WEBP_QUALITY] if resize.format == "webp" else []
    done, encoded = cv2.imencode(f".{resize.format}", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels are more than {resize.format} can have.")
    return cast("np.ndarray[tuple[int], np.dtype[np.uint8]]", encoded).tobytes()
