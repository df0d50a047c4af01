"""What the presets refuse beside what CleanVision reports, on photographs and on copies made worse on purpose."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks import peers
from benchmarks.report import Result, versions
from benchmarks.web import scratch
from gleanset.inspect import inspect
from gleanset.rules import Rules
from gleanset.similar import groups
from gleanset.types import Inspection
from tests.photos import originals

PRESETS = ("standard", "strict")
PEERS = "peers-cleanvision"
SIDE = 640

# By CleanVision's names: which of our reasons says the same.
REASONS: Mapping[str, frozenset[str]] = {
    "dark": frozenset({"min_brightness"}),
    "light": frozenset({"max_brightness"}),
    "blurry": frozenset({"min_sharpness"}),
    "low_information": frozenset({"min_entropy", "max_uniformity", "min_contrast"}),
    "odd_aspect_ratio": frozenset({"min_aspect_ratio", "max_aspect_ratio"}),
    "odd_size": frozenset({"min_width", "min_height"}),
    "grayscale": frozenset({"greyscale"}),
    "exact_duplicates": frozenset({"exact_duplicate"}),
    "near_duplicates": frozenset({"near_duplicate"}),
}
Names = frozenset[str]


def _toned(image: Image.Image, scale: float, offset: float) -> Image.Image:
    return image.point([int(min(255, scale * value + offset)) for value in range(256)] * 3)


def _page(image: Image.Image) -> Image.Image:
    """A blank page with a word on it."""
    page = Image.new("RGB", image.size, (246, 245, 243))
    ImageDraw.Draw(page).text((image.width // 3, image.height // 2), "No image available", fill=(90, 90, 90))
    return page


MADE: Mapping[str, tuple[Callable[[Image.Image], Image.Image], ...]] = {
    "dark": (lambda image: _toned(image, 0.1, 0), lambda image: _toned(image, 0.2, 0)),
    "light": (lambda image: _toned(image, 0.1, 229), lambda image: _toned(image, 0.2, 204)),
    "blurry": (
        lambda image: image.filter(ImageFilter.GaussianBlur(4)),
        lambda image: image.filter(ImageFilter.GaussianBlur(8)),
    ),
    "low_information": (_page, lambda image: Image.new("RGB", image.size, image.getpixel((9, 9)))),  # pyright: ignore
    "odd_aspect_ratio": (
        lambda image: image.crop((0, image.height // 2, image.width, image.height // 2 + image.width // 6)),
        lambda image: image.crop((image.width // 2, 0, image.width // 2 + image.height // 6, image.height)),
    ),
    "odd_size": (lambda image: image.resize((48, 48 * image.height // image.width)),),
    "grayscale": (lambda image: image.convert("L"), lambda image: image.convert("L").convert("RGB")),
    "exact_duplicates": (lambda image: image,),
    "near_duplicates": (
        lambda image: image.resize((image.width * 3 // 4, image.height * 3 // 4)),
        lambda image: _toned(image, 0.9, 10),
    ),
}
"""How copies of a photograph are made worse, by the issue that they have then."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Names of the files, and of those among them that were made to have an issue."""

    names: Names
    made: Mapping[str, Names]


def measure(*, quick: bool) -> Result:
    with scratch() as folder:
        pictures = make(folder, 6 if quick else None)
        theirs, seconds = _theirs(folder)
        ours = {preset: judged(folder, preset) for preset in PRESETS}
    rows = [_row(kind, pictures, theirs[kind], {name: found[kind] for name, found in ours.items()}) for kind in REASONS]
    return Result(
        title=f"Issues in {len(pictures.names):,} pictures: CleanVision and our presets",
        columns=(
            "issue",
            "made to have it",
            "CleanVision finds",
            "and elsewhere",
            *(text for preset in PRESETS for text in (f"{preset} finds", "and elsewhere", "says the same")),
        ),
        rows=rows,
        figures={
            "pictures": len(pictures.names),
            "cleanvision_seconds": seconds,
            "found": {kind: sorted(names) for kind, names in theirs.items()},
            "ours": {name: {kind: sorted(names) for kind, names in found.items()} for name, found in ours.items()},
        },
        notes=(
            f"Photographs at a longer side of {SIDE} pixels, JPEG at quality 90, and copies made worse in known ways.",
            "Elsewhere: pictures that were not made to have the issue, and may have all the same: night is dark.",
            "Of duplicates all that belong to a group count, the one that stays among them.",
            "CleanVision's odd size is relative to the other pictures, ours is in pixels.",
        ),
        versions=versions("opencv-python-headless", "numpy") | peers.versions("cleanvision", name=PEERS),
    )


def _row(kind: str, pictures: Pictures, theirs: Names, ours: Mapping[str, Names]) -> tuple[str, ...]:
    made = pictures.made[kind]
    cells = [kind.replace("_", " "), str(len(made)), str(len(theirs & made)), str(len(theirs - made))]
    for found in ours.values():
        same = len(pictures.names) - len(theirs ^ found)
        cells += [str(len(found & made)), str(len(found - made)), f"{100 * same / len(pictures.names):.1f} %"]
    return tuple(cells)


def make(folder: Path, count: int | None) -> Pictures:
    """Fill the folder from so many photographs, or from all there are."""
    made: dict[str, set[str]] = {kind: set() for kind in MADE}
    names: set[str] = set()
    for number, path in enumerate(originals()[:count]):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((SIDE, SIDE))
        plain = f"{number:03d}.jpg"
        image.save(folder / plain, quality=90)
        names.add(plain)
        for kind, ways in MADE.items():
            for way, change in enumerate(ways):
                name = f"{number:03d}-{kind}-{way}.jpg"
                changed = change(image)
                changed.save(folder / name, quality=60 if kind == "near_duplicates" else 90)
                names.add(name)
                made[kind].add(name)
            if kind.endswith("duplicates"):
                made[kind].add(plain)
    return Pictures(frozenset(names), {kind: frozenset(found) for kind, found in made.items()})


def judged(folder: Path, preset: str) -> dict[str, Names]:
    """What the preset says of each picture, under CleanVision's names."""
    paths = sorted(folder.glob("*.jpg"))
    with ThreadPoolExecutor(2) as threads:
        seen = list(threads.map(lambda path: inspect(path.read_bytes()), paths))
    rules = Rules.parse({"preset": preset})
    broken = [set(rules.broken_by(image)) for image in seen]
    found = {kind: {path.name for path, codes in zip(paths, broken, strict=True) if codes & reasons}
             for kind, reasons in REASONS.items()}  # fmt: skip
    found["exact_duplicates"] = _together(paths, _alike([image.sha256 for image in seen]))
    found["near_duplicates"] = _together(paths, _near(seen, rules.near_duplicate_distance or 0))
    return {kind: frozenset(names) for kind, names in found.items()}


def _alike(keys: list[str]) -> list[int]:
    return [keys.index(key) for key in keys]


def _near(seen: list[Inspection], distance: int) -> list[int]:
    """The first of each one's group; hashes that say little make no group."""
    telling = [number for number, image in enumerate(seen) if image.pdq_quality >= 50]
    firsts = groups([seen[number].pdq for number in telling], distance)
    found = list(range(len(seen)))
    for number, first in zip(telling, firsts.tolist(), strict=True):
        found[number] = telling[first]
    return found


def _together(paths: list[Path], firsts: list[int]) -> set[str]:
    several = {first for first, size in zip(*np.unique(firsts, return_counts=True), strict=True) if size > 1}
    return {path.name for path, first in zip(paths, firsts, strict=True) if first in several}


def _theirs(folder: Path) -> tuple[dict[str, Names], float]:
    python = peers.programs(PEERS) / "python"
    done = subprocess.run(
        [str(python), str(peers.HERE / "with_cleanvision.py"), str(folder)], check=True, capture_output=True, text=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return {kind: frozenset(answer["found"].get(kind, ())) for kind in REASONS}, float(answer["seconds"])
