"""contact-sheet.jpg: a row of pictures a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
import simplejpeg  # pyright: ignore[reportMissingTypeStubs]

from gleanset.errors import ImageRefused
from gleanset.inspect import make_thumbnail
from gleanset.resize import Pixels

_CELL, _GAP, _MARGIN = 128, 4, 40
_WHITE, _BLACK = 255, (0, 0, 0)
_QUALITY = 80


def contact_sheet(rows: Sequence[Sequence[bytes]]) -> bytes:
    """A JPEG with one row of pictures a label, numbered from 1 on; what does not decode leaves its place empty."""
    step = _CELL + _GAP
    columns = max((len(row) for row in rows), default=0)
    sheet = np.full((len(rows) * step + _GAP, _MARGIN + columns * step + _GAP, 3), _WHITE, np.uint8)
    for number, row in enumerate(rows):
        top = number * step + _GAP
        cv2.putText(sheet, str(number + 1), (8, top + _CELL // 2 + 6), cv2.FONT_HERSHEY_SIMPLEX, 0.6, _BLACK, 1)
        for place, data in enumerate(row):
            cell = _cell(data)
            left = _MARGIN + place * step
            if cell is not None:
                sheet[top : top + _CELL, left : left + _CELL] = cell
    return simplejpeg.encode_jpeg(sheet, quality=_QUALITY, colorsubsampling="420")


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
