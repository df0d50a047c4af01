"""Which copies of real photographs are found: re-encoded, resized, cropped, marked, brighter or darker, mirrored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from benchmarks import peers
from benchmarks.contestants import environment, finished
from benchmarks.report import Result, versions
from benchmarks.web import scratch
from gleanset.inspect import Inspection, inspect
from gleanset.similar import DISTANCE, near_pairs
from tests.photos import originals

Change = Callable[[Image.Image], Image.Image]
Pair = tuple[str, str]

SCRIPT = Path(__file__).parent / "peers" / "find_copies.py"
SAYS_SOMETHING = 50
"""The quality from which on PDQ's authors trust a hash."""
OURS, PHASH, DHASH = f"PDQ, {DISTANCE} bits", "imagededup PHash", "imagededup DHash"
LEAST = 200
TWINS = {"motorcycle_right"}
"""The other eye's view of one that is there."""


def measure(*, quick: bool) -> Result:
    paths = [path for path in originals() if path.stem not in TWINS]
    with scratch() as folder:
        for name in CHANGES:
            (folder / name).mkdir()
        with ThreadPoolExecutor(2) as threads:
            counts = list(threads.map(lambda item: _write(folder, *item), enumerate(paths[: 6 if quick else None])))
        pictures = sum(counts)
        measured = [_measured(folder / name, name, pictures) for name in CHANGES]
    return Result(
        title=f"Copies of {pictures} pictures from {len(counts)} photographs: recall / precision in %",
        columns=("change", OURS, PHASH, DHASH),
        rows=[(name, *(_cell(*found[tool]) for tool in (OURS, PHASH, DHASH))) for name, found in measured],
        figures={
            name: {tool: dict(zip(("recall", "precision"), pair, strict=True)) for tool, pair in found.items()}
            for name, found in measured
        },
        notes=(
            "Every picture is a quarter of a photograph, so that several are alike in colour and texture without being "
            "copies. Each is there as it is and changed; recall is the share whose copy is found, precision the share "
            "of the pairs found in which one is a copy of the other.",
            f"PDQ: hashes of quality {SAYS_SOMETHING} and up, as validation takes them; a picture below counts as not "
            "found. imagededup: 64 bits, of which 10 may differ, its default.",
            "No hash here sees that a picture is mirrored; whoever needs that looks for the mirrored picture too.",
        ),
        versions=versions("pillow", "opencv-python-headless") | peers.versions("imagededup", name="peers-similar"),
    )


def _jpeg(quality: int) -> Change:
    return _through("jpeg", quality)


def _through(kind: str, quality: int) -> Change:
    def change(picture: Image.Image) -> Image.Image:
        pixels = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
        flag = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}[kind]
        encoded = cv2.imencode(f".{kind}", pixels, [flag, quality])[1]
        return Image.fromarray(cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))

    return change


def _resized(share: float) -> Change:
    return lambda picture: picture.resize(
        (round(picture.width * share), round(picture.height * share)), Image.Resampling.LANCZOS
    )


def _cropped(left: float, top: float, right: float, bottom: float) -> Change:
    """Shares of width and height that are cut off."""

    def change(picture: Image.Image) -> Image.Image:
        width, height = picture.size
        box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
        return picture.crop(tuple(round(edge) for edge in box))  # type: ignore[arg-type]

    return change


def _marked(picture: Image.Image) -> Image.Image:
    """A half transparent word over the middle, an eighth of the height."""
    layer = Image.new("RGBA", picture.size, (255, 255, 255, 0))
    middle = (picture.width / 2, picture.height / 2)
    font = ImageFont.load_default(picture.height / 8)
    ImageDraw.Draw(layer).text(middle, "© Example", (255, 255, 255, 128), font, anchor="mm")
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _brighter(factor: float) -> Change:
    return lambda picture: ImageEnhance.Brightness(picture).enhance(factor)


CHANGES: dict[str, Change] = {
    "encoded again, JPEG, quality 50": _jpeg(50),
    "encoded again, JPEG, quality 20": _jpeg(20),
    "encoded again, WebP, quality 50": _through("webp", 50),
    "half as wide and high": _resized(0.5),
    "a quarter as wide and high": _resized(0.25),
    "cropped by 5%, evenly": _cropped(0.025, 0.025, 0.025, 0.025),
    "cropped by 5%, left and top": _cropped(0.05, 0.05, 0, 0),
    "watermark over the middle": _marked,
    "30% brighter": _brighter(1.3),
    "30% darker": _brighter(0.7),
    "mirrored": ImageOps.mirror,
}


def _write(folder: Path, number: int, original: Path) -> int:
    """Write a photograph's quarters, as they are and changed, into a folder for each change; how many there are."""
    with Image.open(original) as opened:
        opened.draft("RGB", (2048, 2048))
        photo = opened.convert("RGB")
    photo.thumbnail((1600, 1600))
    width, height = photo.width // 2, photo.height // 2
    if min(width, height) < LEAST:
        return 0
    for quarter in range(4):
        left, top = quarter % 2 * width, quarter // 2 * height
        picture = photo.crop((left, top, left + width, top + height))
        for name, change in CHANGES.items():
            picture.save(folder / name / f"{number}-{quarter}.png", compress_level=1)
            change(picture).save(folder / name / f"{number}-{quarter}-changed.png", compress_level=1)
    return 4


def _measured(folder: Path, name: str, pictures: int) -> tuple[str, dict[str, tuple[float, float | None]]]:
    command = [str(peers.programs("peers-similar") / "python"), str(SCRIPT), str(folder)]
    theirs: dict[str, list[Pair]] = json.loads(finished(command, environment()).splitlines()[-1])
    pairs = {OURS: _ours(folder), PHASH: theirs["PHash"], DHASH: theirs["DHash"]}
    return name, {tool: _quality(found, pictures) for tool, found in pairs.items()}


def _ours(folder: Path) -> list[Pair]:
    names: list[str] = []
    hashes: list[bytes] = []
    for path in sorted(folder.iterdir()):
        found = inspect(path.read_bytes())
        assert isinstance(found, Inspection)
        if found.pdq is not None and (found.pdq_quality or 0) >= SAYS_SOMETHING:
            names.append(path.name)
            hashes.append(found.pdq)
    return [(names[i], names[j]) for one, other, _ in near_pairs(hashes) for i, j in zip(one, other, strict=True)]


def _quality(pairs: Iterable[Pair], pictures: int) -> tuple[float, float | None]:
    """Recall and precision; no precision where nothing was found."""
    right = [_picture(one) == _picture(other) for one, other in pairs]
    return sum(right) / pictures, sum(right) / len(right) if right else None


def _picture(name: str) -> str:
    return name.removesuffix(".png").removesuffix("-changed")


def _cell(recall: float, precision: float | None) -> str:
    return f"{100 * recall:.0f} / " + ("-" if precision is None else f"{100 * precision:.0f}")
