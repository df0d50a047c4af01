"""Histograms as the figures of an SVG; the template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from backend.schemas.images import Histogram, Statistics
from backend.web.filters import number, size

WIDTH, HEIGHT = 360, 120
_GAP = 2
_EVERY = 2


@dataclass(frozen=True, slots=True)
class Column:
    x: float
    y: float
    width: float
    height: float
    says: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`marks` are places on the axis with their values; `says` is the chart in a sentence."""

    title: str
    says: str
    columns: Sequence[Column]
    marks: Sequence[tuple[float, str]]


def charts(held: Statistics) -> list[Chart]:
    """How large, how oblong, how sharp and how bright the images are."""
    return [
        chart("Shorter side, pixels", held.shorter_side),
        chart("Width / height", held.aspect_ratio),
        chart("Sharpness", held.sharpness),
        chart("Brightness", held.brightness),
        chart("File size", held.file_size, in_bytes=True),
    ]


def chart(title: str, histogram: Histogram, *, in_bytes: bool = False) -> Chart:
    """A column for each bucket, and a mark for every second edge between them."""
    words = [size(int(edge)) if in_bytes else f"{edge:g}" for edge in histogram.edges]
    most, step = max(histogram.counts, default=0) or 1, WIDTH / len(histogram.counts)
    ranges = [
        f"below {words[0]}",
        *(f"{a} to {b}" for a, b in pairwise(words)),
        f"from {words[-1]}",
    ]
    columns: list[Column] = []
    for place, (count, bounds) in enumerate(zip(histogram.counts, ranges, strict=True)):
        height = max(1.5, HEIGHT * count / most) if count else 0
        says = f"{bounds}: {number(count)}"
        columns.append(Column(place * step + _GAP / 2, HEIGHT - height, step - _GAP, height, says))
    top = ranges[histogram.counts.index(max(histogram.counts))]
    marks = [((place + 1) * step, word) for place, word in enumerate(words) if place % _EVERY == 0]
    return Chart(title, f"{title}: most images are {top}", columns, marks)
