"""Copies of another size that are packed instead of the images as they are stored."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from threading import Lock
from typing import cast

import cv2
import numpy as np
import simplejpeg  # pyright: ignore[reportMissingTypeStubs]

from gleanset.errors import ExportError, ImageRefused
from gleanset.export.base import Entry
from gleanset.export.layout import Resize
from gleanset.inspect import InspectLimits, colours_of
from gleanset.resize import QUALITY, Pixels, shrunk_to, upright

_WEBP_QUALITY = 90
_LARGE = 12_000_000
"""Pixels; of larger pictures one is decoded at a time, so that memory is that of the largest alone."""
_one_at_a_time = Lock()
_WHITE = (255, 255, 255)


def resized(entry: Entry, data: bytes, resize: Resize) -> tuple[Entry, bytes]:
    """The copy, and the entry that describes it, with the facts of the original in its metadata.

    Raises ExportError for a picture that cannot be decoded, or a size that the format cannot have.
    """
    try:
        pixels = _decoded(entry, data, resize)
        copy = _encoded(pixels, resize)
    except (ImageRefused, cv2.error, ValueError) as error:
        raise ExportError(f"The stored image {entry.key} cannot be resized: {error}") from error
    facts = {name: getattr(entry, name) for name in ("sha256", "format", "width", "height", "file_size")}
    described = replace(
        entry,
        sha256=hashlib.sha256(copy).hexdigest(),
        format=resize.format,
        width=pixels.shape[1],
        height=pixels.shape[0],
        file_size=len(copy),
        original=entry.original or facts,  # what was resized before tells of its own original
    )
    return described, copy


def _decoded(entry: Entry, data: bytes, resize: Resize) -> Pixels:
    width, height = entry.width, entry.height
    if width * height <= _LARGE:
        return _fitted(data, width, height, resize)
    with _one_at_a_time:
        return _fitted(data, width, height, resize)


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
