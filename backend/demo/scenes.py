"""What the demo's pictures show: five subjects, each painted on an RGB canvas from a seeded generator."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator

from backend.demo.brush import (
    WHITE,
    Colour,
    Floats,
    Pixels,
    Point,
    below,
    box,
    disc,
    extent,
    glow,
    hills,
    leaf,
    mix,
    pick,
    polygon,
    ridge,
    shade,
    stroke,
)
from backend.demo.scenery import GREENS, ROOFS, SKIES, SUNSETS, WALLS, WARM, birds, pine, sea, sky, tree


def sunset(rng: Generator, canvas: Pixels) -> None:
    height, width = extent(canvas)
    horizon = height * rng.uniform(0.52, 0.82)
    colours = SUNSETS[int(rng.integers(len(SUNSETS)))]
    sky(rng, canvas, colours, horizon)
    sun = (width * rng.uniform(0.15, 0.85), horizon - height * rng.uniform(-0.02, 0.38))
    radius = min(width, height) * rng.uniform(0.06, 0.15)
    glow(canvas, sun, radius * 3.2, (255, 226, 150), 0.75)
    disc(canvas, sun, radius, (255, 240, 196))
    birds(rng, canvas, int(rng.integers(0, 8)), shade(colours[0], 0.5))
    if rng.random() < 0.5:
        sea(rng, canvas, horizon, shade(mix(colours[0], colours[1], 0.3), 0.9), mix(colours[1], colours[2], 0.5))
        for step in range(34):  # the sun's road on the water
            part = (step + rng.random()) / 34
            y, half = horizon + part * (height - horizon), radius * (0.25 + 0.9 * part) * rng.uniform(0.3, 1)
            x = sun[0] + rng.uniform(-0.5, 0.5) * radius * (0.4 + part)
            polygon(
                canvas, ((x - half, y), (x, y - 1 - 2 * part), (x + half, y), (x, y + 1 + 2 * part)), (255, 224, 150)
            )
    layers = int(rng.integers(1, 4))
    for layer in range(layers):
        level = horizon + (height - horizon) * (layer + rng.uniform(0.3, 1)) / (layers + 0.6)
        dark = mix(colours[1], shade(colours[0], 0.35), 0.45 + 0.55 * (layer + 1) / layers)
        line = hills(rng, width, level, height * rng.uniform(0.02, 0.07))
        below(canvas, line, dark)
        for x in rng.uniform(0, width - 1, int(rng.integers(0, 9))):
            pine(canvas, (float(x), float(line[int(x)]) + 3), height * rng.uniform(0.06, 0.16), dark)


def mountain(rng: Generator, canvas: Pixels) -> None:
    height, width = extent(canvas)
    colours = SKIES[int(rng.integers(len(SKIES)))]
    sky(rng, canvas, colours, height * 0.75)
    if rng.random() < 0.5:
        at = (width * rng.uniform(0.1, 0.9), height * rng.uniform(0.1, 0.3))
        glow(canvas, at, height * 0.15, WHITE, 0.7)
        disc(canvas, at, height * rng.uniform(0.03, 0.06), WHITE)
    rock: Colour = pick(rng, ((86, 96, 124), (104, 92, 106), (78, 104, 118), (112, 98, 90)))
    layers = int(rng.integers(3, 6))
    for layer in range(layers):
        part = layer / (layers - 1)
        level = height * (0.42 + 0.42 * part + rng.uniform(-0.05, 0.05))
        line = ridge(rng, width, level, height * (0.2 - 0.11 * part), 6)
        below(canvas, line, mix(mix(colours[2], rock, 0.45), shade(rock, 0.55), part))
        if part < 0.6:
            snow(rng, canvas, line, level - height * rng.uniform(-0.04, 0.05), mix(colours[2], WHITE, 0.4 + 0.6 * part))
    meadow = shade(pick(rng, GREENS), rng.uniform(0.5, 1))
    line = hills(rng, width, height * rng.uniform(0.84, 0.95), height * 0.03)
    below(canvas, line, meadow)
    for x in np.sort(rng.uniform(0, width - 1, int(rng.integers(3, 22)))):
        foot = (float(x), float(line[int(x)]) + height * rng.uniform(0.01, 0.06))
        pine(canvas, foot, height * rng.uniform(0.08, 0.24), shade(meadow, rng.uniform(0.45, 0.75)))


def snow(rng: Generator, canvas: Pixels, line: Floats, snowline: float, colour: Colour) -> None:
    """White from the crest down towards the snowline, ragged below, with a bluish side away from the light."""
    width = len(line)
    ragged = ridge(rng, width, 0.62, 0.3, 6)
    lower = line + np.maximum(0, snowline - line) * np.clip(ragged, 0.1, 1)
    columns = np.arange(width, dtype=np.float64)
    crest = np.column_stack([columns, line])
    polygon(canvas, np.vstack([crest, np.column_stack([columns, lower])[::-1]]), colour)
    falling = np.gradient(cv2.GaussianBlur(line[None], (0, 0), 3)[0]) > 0
    shadow = np.where(falling, line + (lower - line) * 0.9, line)
    polygon(canvas, np.vstack([crest, np.column_stack([columns, shadow])[::-1]]), shade(colour, 0.8, (0, 4, 14)))


def boat(rng: Generator, canvas: Pixels) -> None:
    height, width = extent(canvas)
    colours = (SKIES if rng.random() < 0.75 else SUNSETS)[int(rng.integers(5))]
    horizon = height * rng.uniform(0.42, 0.66)
    sky(rng, canvas, colours, horizon)
    if rng.random() < 0.6:
        at = (width * rng.uniform(0.1, 0.9), horizon * rng.uniform(0.2, 0.8))
        glow(canvas, at, height * 0.12, (255, 244, 210), 0.8)
        disc(canvas, at, height * rng.uniform(0.03, 0.07), (255, 246, 220))
    if rng.random() < 0.7:
        land = mix(colours[2], pick(rng, ((70, 100, 110), (90, 110, 90), (110, 100, 120))), 0.7)
        below(canvas, hills(rng, width, horizon + height * 0.02, height * rng.uniform(0.03, 0.09)), land)
    water: Colour = pick(rng, ((38, 98, 130), (44, 122, 132), (50, 84, 120), (70, 130, 150)))
    sea(rng, canvas, horizon, water, mix(water, colours[2], 0.6))
    birds(rng, canvas, int(rng.integers(0, 6)), (70, 74, 90))
    count = int(rng.choice((1, 1, 2, 3)))
    for place in range(count):
        size = min(width, height) * rng.uniform(0.4, 0.62) / (1 + 0.35 * (count - 1 - place))
        x = width * (rng.uniform(0.28, 0.72) if count == 1 else (place + rng.uniform(0.3, 0.7)) / count)
        sailing_boat(rng, canvas, (x, max(horizon + size * 0.1, height * rng.uniform(0.66, 0.84))), size, water)


def sailing_boat(rng: Generator, canvas: Pixels, at: Point, size: float, water: Colour) -> None:
    x, y = at
    way = 1 if rng.random() < 0.5 else -1
    hull, sail, stripe = pick(rng, (*WARM, (50, 70, 96))), pick(rng, (*WARM, WHITE, WHITE)), pick(rng, WARM)
    mast = size * rng.uniform(0.85, 1.1)
    for step in range(7):  # the reflection, broken by waves
        half, depth = size * (0.42 - step * 0.045), y + size * (0.03 + step * 0.05)
        sway = rng.uniform(-0.05, 0.05) * size
        ends = ((x - half + sway, depth), (x + half + sway, depth), (x + half * 0.8 + sway, depth + size * 0.025))
        polygon(canvas, ends, mix(water, hull if step < 3 else sail, 0.55))
    stroke(canvas, (x, y), (x, y - mast), (92, 70, 54), size / 45)
    swing = np.linspace(0, 1, 12)
    luff = [(x + way * size * 0.03, y - size * 0.17 - (mast - size * 0.2) * s) for s in swing]
    leech = [
        (x + way * size * (0.46 * (1 - s) + 0.08 * np.sin(np.pi * s)), y - size * 0.17 - (mast - size * 0.2) * s)
        for s in swing
    ]
    polygon(canvas, [*luff, *leech[::-1]], sail)
    low, high = int(rng.integers(1, 4)), int(rng.integers(4, 8))
    polygon(canvas, [*luff[low:high], *leech[low:high][::-1]], stripe)
    jib = ((x - way * size * 0.03, y - mast * 0.92), (x - way * size * 0.4, y - size * 0.14), (x, y - size * 0.16))
    polygon(canvas, jib, shade(sail, 0.88))
    bow, stern, deck = x - way * size * 0.52, x + way * size * 0.42, y - size * 0.12
    keel = ((bow, deck - size * 0.03), (stern, deck), (stern - way * size * 0.07, y), (bow + way * size * 0.2, y))
    polygon(canvas, keel, hull)
    stroke(canvas, (bow, deck - size * 0.03), (stern, deck), shade(hull, 1.35, (20, 20, 20)), size / 40)
    pennant = ((x, y - mast), (x + way * size * 0.12, y - mast + size * 0.03), (x, y - mast + size * 0.06))
    polygon(canvas, pennant, stripe)


def house(rng: Generator, canvas: Pixels) -> None:
    height, width = extent(canvas)
    ground = height * rng.uniform(0.7, 0.86)
    sky(rng, canvas, SKIES[int(rng.integers(len(SKIES)))], ground)
    green = pick(rng, GREENS)
    if rng.random() < 0.8:
        far = hills(rng, width, ground - height * rng.uniform(0.04, 0.16), height * 0.05)
        below(canvas, far, mix(green, (200, 214, 216), 0.5))
    count = int(rng.choice((1, 1, 2, 2, 3) if width > height else (1, 1, 2)))
    for _ in range(int(rng.integers(0, 5))):
        tree(rng, canvas, (rng.uniform(0, 1) * width, ground + 2), height * rng.uniform(0.25, 0.55))
    below(canvas, hills(rng, width, ground, height * 0.008), green)
    for place in range(count):
        span = width * rng.uniform(0.5, 0.78) / (count * 0.85 + 0.15)
        tall = min(height * rng.uniform(0.26, 0.46), span * 1.1)
        left = width * (place + 0.5) / count - span / 2 + rng.uniform(-0.12, 0.12) * width / count
        cottage(rng, canvas, left, ground + height * 0.02, span, tall)
    for x, y in zip(rng.uniform(0, width, 9), np.sort(rng.uniform(0.05, 0.22, 9)), strict=True):
        bush(rng, canvas, (float(x), ground + height * float(y)), height * rng.uniform(0.02, 0.05), green)


def bush(rng: Generator, canvas: Pixels, at: Point, size: float, green: Colour) -> None:
    tint, bloom = shade(green, rng.uniform(0.75, 1.3)), pick(rng, WARM)
    for dx, dy, light in ((-0.9, 0.1, 0.86), (0.9, 0.15, 0.86), (0.0, -0.3, 1.0), (0.1, 0.3, 0.94)):
        disc(canvas, (at[0] + dx * size, at[1] + dy * size), size * rng.uniform(0.75, 1), shade(tint, light))
    for dx, dy in rng.uniform(-1, 1, (5, 2)):
        disc(canvas, (at[0] + dx * size * 1.3, at[1] + dy * size * 0.7), size * 0.16, bloom)


def cottage(rng: Generator, canvas: Pixels, left: float, foot: float, span: float, tall: float) -> None:
    wall, roof = pick(rng, WALLS), pick(rng, ROOFS)
    right, top = left + span, foot - tall
    peak = top - span * rng.uniform(0.22, 0.5)
    stack = left + span * float(rng.choice((0.2, 0.72)))
    box(canvas, stack, peak + (top - peak) * 0.15, stack + span * 0.1, top, shade(roof, 0.75))
    box(canvas, left, top, right, foot, wall)
    for y in np.arange(top, foot, max(5.0, tall / 14)):
        stroke(canvas, (left, float(y)), (right, float(y)), shade(wall, 0.9))
    inset, eave = span * float(rng.choice((0.5, 0.5, 0.25))), span * 0.07
    polygon(canvas, ((left - eave, top), (left + inset, peak), (right - inset, peak), (right + eave, top)), roof)
    stroke(canvas, (left - eave, top), (right + eave, top), shade(roof, 0.7), span / 60)
    columns = int(rng.integers(2, 5))
    door = int(rng.integers(columns))
    lit: Colour = (252, 224, 140) if rng.random() < 0.4 else (150, 186, 206)
    for column in range(columns):
        x, half = left + span * (column + 0.5) / columns, span * 0.3 / columns
        for floor in range(2):
            sill = top + tall * (0.44 + 0.45 * floor)
            if floor and column == door:
                box(canvas, x - half, foot - tall * 0.42, x + half, foot, shade(roof, 1.15))
                disc(canvas, (x + half * 0.6, foot - tall * 0.2), span / 90, (240, 210, 120))
            else:
                window(canvas, x, sill, half * 0.85, tall * 0.26, lit)


def window(canvas: Pixels, x: float, sill: float, half: float, tall: float, pane: Colour) -> None:
    frame = max(1.0, half * 0.16)
    box(canvas, x - half - frame, sill - tall - frame, x + half + frame, sill + frame, WHITE)
    box(canvas, x - half, sill - tall, x + half, sill, pane)
    polygon(canvas, ((x - half, sill), (x - half, sill - tall * 0.5), (x + half * 0.4, sill)), shade(pane, 0.85))
    stroke(canvas, (x, sill - tall), (x, sill), WHITE, frame)
    stroke(canvas, (x - half, sill - tall / 2), (x + half, sill - tall / 2), WHITE, frame)


def flower(rng: Generator, canvas: Pixels) -> None:
    height, width = extent(canvas)
    deep = pick(rng, ((52, 92, 70), (70, 110, 90), (96, 130, 90), (60, 84, 110), (150, 176, 150), (206, 190, 170)))
    canvas[:] = (np.linspace(1.25, 0.75, height)[:, None, None] * np.array(deep)).clip(0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(10, 26))):  # the garden behind, out of focus
        at = (rng.random() * width, rng.random() * height)
        tint = mix(deep, pick(rng, (*WARM, *GREENS, WHITE)), rng.uniform(0.15, 0.5))
        disc(canvas, at, min(width, height) * rng.uniform(0.04, 0.14), tint)
    canvas[:] = cv2.resize(cv2.blur(cv2.resize(canvas, (width // 4, height // 4)), (7, 7)), (width, height))
    count = int(rng.choice((1, 2, 3, 4, 6)))
    petal = pick(rng, (*WARM, WHITE, (240, 150, 170), (120, 110, 200)))
    for place in range(count):
        size = min(width, height) * rng.uniform(0.3, 0.44) / (1 + 0.22 * (count - 1))
        at = (width * (place + rng.uniform(0.25, 0.75)) / count, height * rng.uniform(0.24, 0.62))
        stem(rng, canvas, at, size)
        own = petal if rng.random() < 0.6 else pick(rng, (*WARM, WHITE))
        blossom(rng, canvas, at, size, own)


def stem(rng: Generator, canvas: Pixels, at: Point, size: float) -> None:
    height, _ = extent(canvas)
    green, bend = pick(rng, GREENS), rng.uniform(-0.5, 0.5) * size
    steps = np.linspace(0, 1, 10)
    line = [(at[0] + bend * s * s, at[1] + (height + 4 - at[1]) * s) for s in steps]
    for start, end in pairwise(line):
        stroke(canvas, start, end, green, size / 12)
    for node in rng.choice(np.arange(4, 9), 2, replace=False):
        x, y = line[int(node)]
        leaf(canvas, (x, y), size * rng.uniform(0.5, 0.9), rng.uniform(-0.9, 0.4) + np.pi * (rng.random() < 0.5), green)


def blossom(rng: Generator, canvas: Pixels, at: Point, size: float, colour: Colour) -> None:
    count, wide, turn = int(rng.integers(5, 15)), rng.uniform(0.16, 0.34), rng.uniform(0, 6.3)
    for ring, light in ((1.0, 0.78), (0.84, 1.0), (0.6, 1.12))[: int(rng.integers(2, 4))]:
        for place in range(count):
            angle = turn + ring * 4 + 2 * np.pi * place / count + rng.uniform(-0.06, 0.06)
            leaf(canvas, at, size * ring * rng.uniform(0.92, 1.05), angle, shade(colour, light), wide)
    heart = pick(rng, ((246, 200, 70), (130, 84, 50), (230, 150, 60), (90, 70, 60)))
    radius = size * rng.uniform(0.16, 0.3)
    disc(canvas, at, radius, heart)
    for angle, reach in zip(rng.uniform(0, 6.3, 30), rng.uniform(0, 0.9, 30), strict=True):
        dot = (at[0] + np.cos(angle) * reach * radius, at[1] + np.sin(angle) * reach * radius)
        disc(canvas, dot, radius / 12, shade(heart, rng.uniform(0.6, 1.4)))


SCENES: dict[str, Callable[[Generator, Pixels], None]] = {
    "boat": boat,
    "flower": flower,
    "house": house,
    "mountain": mountain,
    "sunset": sunset,
}
