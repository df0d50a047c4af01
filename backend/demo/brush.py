"""Colours, shapes and textures on an RGB canvas: all that the scenes are painted with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Colour = tuple[int, int, int]
Point = tuple[float, float]

WHITE: Colour = (250, 247, 240)


def pick(rng: Generator, colours: Sequence[Colour], spread: int = 14) -> Colour:
    """One of the colours, moved a little so that no two pictures share it."""
    r, g, b = colours[int(rng.integers(len(colours)))]
    return shade((r, g, b), 1.0, rng.integers(-spread, spread + 1, 3).tolist())


def extent(canvas: Pixels) -> tuple[int, int]:
    """Height and width."""
    return canvas.shape[0], canvas.shape[1]


def shade(colour: Colour, factor: float, shift: Sequence[int] = (0, 0, 0)) -> Colour:
    r, g, b = (max(0, min(255, round(c * factor + s))) for c, s in zip(colour, shift, strict=True))
    return r, g, b


def mix(one: Colour, other: Colour, part: float) -> Colour:
    r, g, b = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return r, g, b


def polygon(canvas: Pixels, points: Sequence[Point] | Floats, colour: Colour) -> None:
    """Fill, with smooth edges and sixteenths of a pixel."""
    fixed = (np.asarray(points, np.float64) * 16).round().astype(np.int32)
    cv2.fillPoly(canvas, [fixed], colour, lineType=cv2.LINE_AA, shift=4)


def disc(canvas: Pixels, centre: Point, radius: float, colour: Colour) -> None:
    at = (round(centre[0] * 16), round(centre[1] * 16))
    cv2.circle(canvas, at, max(8, round(radius * 16)), colour, -1, cv2.LINE_AA, 4)


def stroke(canvas: Pixels, start: Point, end: Point, colour: Colour, thickness: float = 1) -> None:
    ends = [(round(x * 16), round(y * 16)) for x, y in (start, end)]
    cv2.line(canvas, ends[0], ends[1], colour, max(1, round(thickness)), cv2.LINE_AA, 4)


def box(canvas: Pixels, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
    polygon(canvas, ((left, top), (right, top), (right, bottom), (left, bottom)), colour)


def below(canvas: Pixels, line: Floats, colour: Colour) -> None:
    """Fill everything under a skyline of one height a column."""
    height, width = extent(canvas)
    columns = np.arange(width, dtype=np.float64)
    polygon(canvas, np.vstack([np.column_stack([columns, line]), [(width, height), (0, height)]]), colour)


def ridge(rng: Generator, width: int, level: float, height: float, detail: int) -> Floats:
    """A skyline around `level`: knots joined by straight lines, each octave finer and flatter."""
    columns = np.arange(width, dtype=np.float64)
    line = np.zeros(width)
    for octave in range(detail):
        knots: Floats = rng.uniform(-1, 1, 4 + (2 << octave))
        line += np.interp(columns, np.linspace(0, width - 1, len(knots)), knots) / (1 << octave)
    return level - height * line


def hills(rng: Generator, width: int, level: float, height: float) -> Floats:
    columns = np.linspace(0, 2 * np.pi, width)
    waves = sum(np.sin(columns * rng.uniform(0.4, 1.6) * n + rng.uniform(0, 6.3)) / n for n in (1, 2, 3))
    return level - height * np.asarray(waves, np.float64)


def noise(rng: Generator, width: int, height: int, cells: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Soft blotches between 0 and 1, `cells` of them across and down, in two octaves."""
    across, down = cells
    size = (max(2, width // 4), max(2, height // 4))
    coarse = cv2.resize(rng.random((down + 1, across + 1), np.float32), size, interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.random((down * 3, across * 3), np.float32), size, interpolation=cv2.INTER_CUBIC)
    blotches = cv2.resize(coarse * 0.65 + fine * 0.35, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(blotches, np.float32)


@cache
def grain() -> npt.NDArray[np.int16]:
    """The tooth of the paper, 1280 px square; every picture lies somewhere on it."""
    rng = np.random.default_rng(7)
    fine = rng.normal(0, 5, (1280, 1280)).astype(np.float32)
    return np.asarray(fine + cv2.GaussianBlur(fine, (0, 0), 2) * 3, np.int16)


def textured(rng: Generator, canvas: Pixels, strength: float = 1.0) -> Pixels:
    height, width = extent(canvas)
    top, left = int(rng.integers(1280 - height)), int(rng.integers(1280 - width))
    tooth = (grain()[top : top + height, left : left + width] * strength).astype(np.int16)
    return np.asarray(cv2.add(canvas, cv2.merge([tooth, tooth, tooth]), dtype=cv2.CV_8U), np.uint8)


def blend(canvas: Pixels, colour: Colour, alpha: npt.NDArray[np.float32]) -> None:
    """Lay a colour over the canvas (or a slice of it), as opaque as `alpha` (0..1) says at each pixel."""
    cover = np.clip(alpha, 0, 1)
    canvas[:] = cv2.blendLinear(canvas, np.full_like(canvas, colour), 1 - cover, cover)


def _every_fourth(length: int) -> npt.NDArray[np.float32]:
    return np.arange(0, length, 4).astype(np.float32)


def glow(canvas: Pixels, centre: Point, radius: float, colour: Colour, strength: float) -> None:
    """Light that fades with the distance; reckoned at a quarter of the size, for it has no edges."""
    height, width = extent(canvas)
    x, y = np.meshgrid(_every_fourth(width), _every_fourth(height))
    fade = np.exp(-np.hypot(x - centre[0], y - centre[1]) / radius, dtype=np.float32) * np.float32(strength)
    blend(canvas, colour, np.asarray(cv2.resize(fade, (width, height)), np.float32))


def leaf(canvas: Pixels, at: Point, size: float, angle: float, colour: Colour, wide: float = 0.22) -> None:
    """A pointed oval from `at` outwards, with a lighter vein; petals are leaves too."""
    along = np.linspace(0, 1, 12)
    side = np.sin(np.pi * along**0.85) * size * wide
    cos, sin = np.cos(angle), np.sin(angle)
    x = np.concatenate([along * size, along[::-1] * size])
    y = np.concatenate([side, -side[::-1]])
    polygon(canvas, np.column_stack([at[0] + x * cos - y * sin, at[1] + x * sin + y * cos]), colour)
    tip = (at[0] + size * 0.8 * cos, at[1] + size * 0.8 * sin)
    stroke(canvas, at, tip, shade(colour, 0.85), size / 40)
