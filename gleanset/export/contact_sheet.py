"""contact-sheet.jpg: a row of pictures a label."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import cast

import cv2
import numpy as np
import simplejpeg  # pyright: ignore[reportMissingTypeStubs]
from PIL import Image, ImageDraw, ImageFont

from gleanset.errors import ImageRefused
from gleanset.inspect import make_thumbnail
from gleanset.resize import Pixels

_CELL, _GAP, _MARGIN, _FONT = 128, 4, 40, 16
_WHITE = 255
_QUALITY = 80


def contact_sheet(rows: Sequence[Sequence[bytes]]) -> bytes:
    """A JPEG with one row of pictures a label, numbered from 1 on; what does not decode leaves its place empty."""
    step = _CELL + _GAP
    columns = max((len(row) for row in rows), default=0)
    sheet = np.full((len(rows) * step + _GAP, _MARGIN + columns * step + _GAP, 3), _WHITE, np.uint8)
    for number, row in enumerate(rows):
        top = number * step + _GAP
        sheet[top : top + _CELL, :_MARGIN] = _numbered(number + 1)
        for place, data in enumerate(row):
            cell = _cell(data)
            left = _MARGIN + place * step
            if cell is not None:
                sheet[top : top + _CELL, left : left + _CELL] = cell
    return simplejpeg.encode_jpeg(sheet, quality=_QUALITY, colorsubsampling="420")


def _numbered(number: int) -> Pixels:
    """The margin of a row. Drawn by Pillow: OpenCV's letters take 40 ms to load, in every thread anew."""
    margin = Image.new("RGB", (_MARGIN, _CELL), "white")
    ImageDraw.Draw(margin).text((8, _CELL // 2), str(number), "black", _font(), anchor="lm")
    return np.asarray(margin)


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT)


def _cell(data: bytes) -> Pixels | None:
    """The middle of the picture, as a square."""
    try:
        small = cast(Pixels, simplejpeg.decode_jpeg(make_thumbnail(data)))
    except ImageRefused:
        return None
    height, width = small.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = small[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > _CELL else cv2.INTER_LINEAR
    return cast(Pixels, cv2.resize(square, (_CELL, _CELL), interpolation=method))
