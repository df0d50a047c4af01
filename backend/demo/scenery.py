"""Palettes, and what several scenes share: skies, seas, trees and birds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from backend.demo.brush import (
    WHITE,
    Colour,
    Pixels,
    Point,
    blend,
    box,
    disc,
    extent,
    mix,
    noise,
    pick,
    polygon,
    shade,
    stroke,
)

SKIES: Sequence[tuple[Colour, Colour, Colour]] = (  # top, middle, horizon
    ((58, 123, 190), (129, 183, 222), (226, 238, 240)),
    ((38, 92, 140), (98, 170, 190), (244, 226, 190)),
    ((92, 84, 150), (206, 130, 160), (252, 206, 150)),
    ((46, 60, 110), (150, 96, 130), (246, 160, 110)),
    ((120, 168, 178), (180, 208, 204), (240, 232, 214)),
    ((240, 150, 90), (248, 190, 120), (252, 232, 180)),
    ((150, 190, 220), (206, 222, 232), (250, 240, 232)),
)
SUNSETS: Sequence[tuple[Colour, Colour, Colour]] = (
    ((52, 40, 96), (190, 70, 100), (255, 176, 84)),
    ((24, 54, 104), (214, 104, 84), (255, 208, 120)),
    ((120, 44, 80), (232, 92, 66), (255, 196, 96)),
    ((40, 84, 130), (240, 150, 120), (255, 226, 160)),
    ((86, 58, 130), (224, 120, 150), (255, 214, 170)),
)
WARM: Sequence[Colour] = (
    (214, 72, 60),
    (238, 146, 60),
    (244, 196, 76),
    (206, 92, 128),
    (150, 90, 170),
    (236, 232, 220),
)
WALLS: Sequence[Colour] = (
    (236, 220, 190), (214, 120, 96), (150, 186, 196), (240, 200, 120), (190, 200, 160), (226, 226, 222), (200, 150, 160)
)  # fmt: skip
ROOFS: Sequence[Colour] = ((160, 70, 54), (96, 66, 60), (70, 84, 100), (120, 60, 70), (64, 96, 92))
GREENS: Sequence[Colour] = ((92, 140, 74), (70, 120, 84), (134, 160, 78), (60, 104, 70))


def sky(rng: Generator, canvas: Pixels, colours: tuple[Colour, Colour, Colour], horizon: float) -> None:
    """A gradient down to the horizon, and clouds in it."""
    height, width = extent(canvas)
    rows = np.arange(height)
    middle = horizon * rng.uniform(0.4, 0.7)
    stops = (0.0, middle, max(horizon, middle + 1))
    bands = np.stack([np.interp(rows, stops, [c[channel] for c in colours]) for channel in range(3)], axis=1)
    canvas[:] = bands.astype(np.uint8)[:, None, :]
    reach = max(8, min(height, int(horizon)))
    across = int(rng.integers(2, 5))
    cells = (across, max(2, round(across * reach / width * rng.uniform(1.5, 3))))  # wider than high, as clouds are
    clouds = (noise(rng, width, reach, cells) - rng.uniform(0.5, 0.62)) * rng.uniform(2, 4)
    blend(canvas[:reach], mix(colours[2], WHITE, rng.uniform(0.3, 0.9)), clouds * 0.8)


def birds(rng: Generator, canvas: Pixels, count: int, colour: Colour) -> None:
    height, width = extent(canvas)
    for _ in range(count):
        x, y, span = rng.uniform(0.05, 0.95) * width, rng.uniform(0.06, 0.4) * height, width * rng.uniform(0.01, 0.022)
        stroke(canvas, (x - span, y - span * 0.5), (x, y), colour, width / 320)
        stroke(canvas, (x + span, y - span * 0.5), (x, y), colour, width / 320)


def pine(canvas: Pixels, foot: Point, size: float, colour: Colour) -> None:
    x, y = foot
    for tier in range(4):
        top, half = y - size * (1 - tier * 0.2), size * (0.1 + tier * 0.055)
        polygon(canvas, ((x, top), (x + half, top + size * 0.36), (x - half, top + size * 0.36)), colour)


def tree(rng: Generator, canvas: Pixels, foot: Point, size: float) -> None:
    x, y = foot
    green = pick(rng, GREENS)
    box(canvas, x - size * 0.05, y - size * 0.5, x + size * 0.05, y, (104, 78, 60))
    for lift, light in ((0.0, 0.8), (0.06, 1.0), (0.14, 1.2)):
        for _ in range(5):
            at = (x + rng.uniform(-0.22, 0.22) * size, y - size * (0.6 + lift + rng.uniform(-0.12, 0.16)))
            disc(canvas, at, size * rng.uniform(0.1, 0.2) * (1.1 - lift * 2), shade(green, light))


def sea(rng: Generator, canvas: Pixels, horizon: float, near: Colour, far: Colour) -> None:
    """Water from the horizon down, its waves longer and bolder towards us."""
    height, width = extent(canvas)
    depth = np.linspace(0, 1, max(1, height - int(horizon)))[:, None]
    canvas[int(horizon) :] = (np.array(far) * (1 - depth) + np.array(near) * depth).astype(np.uint8)[:, None, :]
    for _ in range(90):
        part = rng.random() ** 1.4
        x, y = rng.random() * width, horizon + part * (height - horizon)
        tint = mix(near, WHITE, rng.uniform(0.15, 0.5)) if rng.random() < 0.6 else shade(near, 0.8)
        half = width * (0.008 + 0.05 * part) * rng.uniform(0.5, 1.3)
        polygon(canvas, ((x - half, y), (x, y - 1 - 3 * part), (x + half, y), (x, y + 1.5 * part)), tint)
