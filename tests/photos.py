"""Real photographs for tests and benchmarks, from packages that carry them; no network.

scikit-image, scikit-learn and matplotlib ship some twenty inside their wheels; Debian's `lomiri-wallpapers-16.04` and
`lomiri-wallpapers-20.04` add as many large ones when they are installed. The rest is made from these.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

Pixels = npt.NDArray[np.uint8]

# Only what is a photograph and lies in the wheel itself: skimage.data would fetch others over the network.
WHEELS = {
    "skimage": ("data/*.png", "data/*.jpg"),
    "sklearn": ("datasets/images/*.jpg",),
    "matplotlib": ("mpl-data/sample_data/*.jpg",),
}
DRAWN = {"chessboard_GRAY", "chessboard_RGB", "color", "horse", "logo", "microaneurysms", "page", "phantom", "text"}
WALLPAPERS = (Path("/usr/share/backgrounds"), Path("/usr/share/wallpapers"))

# Suffix, Pillow's format, save options: three files of each original in every format.
VARIANTS: tuple[tuple[str, str, tuple[dict[str, Any], ...]], ...] = (
    (".jpg", "JPEG", ({"quality": 90}, {"quality": 75, "progressive": True}, {"quality": 50, "subsampling": 0})),
    (".png", "PNG", ({}, {"compress_level": 1}, {})),
    (".webp", "WEBP", ({"quality": 80}, {"quality": 60, "method": 2}, {"lossless": True, "method": 0})),
    (".gif", "GIF", ({}, {}, {"interlace": 0})),
    (".tif", "TIFF", ({"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {})),
    (".avif", "AVIF", ({"quality": 70, "speed": 9}, {"quality": 50, "speed": 10}, {"quality": 85, "speed": 10})),
    (".bmp", "BMP", ({}, {}, {})),
)
BOXES = ((0.0, 0.0, 1.0, 0.98), (0.05, 0.1, 0.8, 0.9), (0.3, 0.2, 1.0, 0.85))  # left, top, right, bottom
LONGEST = (480, 400, 320)
SIZES = ((1024, 768), (1152, 768), (1200, 900), (1000, 1000), (768, 1024))


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture on disk. `format` is Pillow's name in lower case; `sha256` is of the file's bytes, in hex."""

    path: Path
    format: str
    width: int
    height: int
    sha256: str


def originals() -> list[Path]:
    """The photographs this machine has, in a fixed order."""
    found: list[Path] = []
    for package, patterns in WHEELS.items():
        spec = importlib.util.find_spec(package)  # found, not imported: importing skimage takes a second
        assert spec is not None, f"{package} is not installed"
        assert spec.origin is not None
        for pattern in patterns:
            found += sorted(Path(spec.origin).parent.glob(pattern))
    for folder in WALLPAPERS:
        found += sorted(folder.rglob("*.jpg"))
    return [path for path in found if path.stem not in DRAWN]


def collect(folder: Path) -> list[Photo]:
    """Fill `folder` with several hundred pictures in seven formats: every original as it is, and variants of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as threads:
        groups = list(threads.map(lambda item: _family(folder, *item), enumerate(originals())))
    photos = [photo for group in groups for photo in group]
    assert len({photo.sha256 for photo in photos}) == len(photos), "two pictures have the same bytes"
    return photos


def _family(folder: Path, number: int, original: Path) -> list[Photo]:
    stem = f"{number:02d}-{original.stem}"
    copy = folder / f"{stem}{original.suffix}"
    shutil.copyfile(original, copy)
    with Image.open(original) as opened:
        if opened.format == "JPEG":  # decodes large wallpapers at a fraction of their size
            opened.draft("RGB", (1024, 1024))
        image = opened.convert("L" if opened.mode in {"L", "I;16"} else "RGB")
    photos = [_photo(copy)]
    for variant, (box, longest) in enumerate(zip(BOXES, LONGEST, strict=True)):
        picture = _cut(image, box, longest)
        for suffix, name, options in VARIANTS:
            path = folder / f"{stem}-{variant}{suffix}"
            picture.save(path, name, **options[variant])
            photos.append(_photo(path))
    return photos


def _cut(image: Image.Image, box: tuple[float, float, float, float], longest: int) -> Image.Image:
    width, height = image.size
    left, top, right, bottom = box
    picture = image.crop((int(left * width), int(top * height), int(right * width), int(bottom * height)))
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return picture


def _photo(path: Path) -> Photo:
    with Image.open(path) as image:
        assert image.format is not None
        return Photo(path, image.format.lower(), *image.size, hashlib.sha256(path.read_bytes()).hexdigest())


def volume(folder: Path, count: int, target_bytes: int = 100_000) -> list[Path]:
    """`count` different JPEGs of about `target_bytes`, 1000x750 pixels and up; made once, then reused.

    Every file is a crop of a photograph, perhaps mirrored, with slightly changed colours.
    """
    done = folder / f"{count}x{target_bytes}"
    if not done.exists():
        part = done.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        paths = originals()
        with ThreadPoolExecutor(2) as threads:  # simplejpeg and OpenCV release the GIL: threads do
            sums = threads.map(
                lambda nth: _series(part, paths[nth], range(nth, count, len(paths)), target_bytes), range(len(paths))
            )
            different = set().union(*sums)
        assert len(different) == count, "two pictures have the same bytes"
        part.rename(done)
    return sorted(done.glob("*.jpg"))


def _series(folder: Path, original: Path, numbers: range, target_bytes: int) -> set[bytes]:
    """Writes one original's share of the volume and returns the digests of its files."""
    pixels = _load(original)
    digests: set[bytes] = set()
    quality = 80
    for number in numbers:
        data, quality = _encode(_vary(pixels, np.random.default_rng(number)), quality, target_bytes)
        (folder / f"{number:06d}.jpg").write_bytes(data)
        digests.add(hashlib.sha256(data).digest())
    return digests


def _load(path: Path) -> Pixels:
    with Image.open(path) as image:
        image.draft("RGB", (1600, 1600))
        rgb = image.convert("RGB")
    rgb.thumbnail((1700, 1700))
    return np.asarray(rgb)


def _vary(pixels: Pixels, random: np.random.Generator) -> Pixels:
    width, height = SIZES[random.integers(len(SIZES))]
    rows, columns = pixels.shape[:2]
    scale = random.uniform(0.6, 1.0) * min(columns / width, rows / height)
    crop_width, crop_height = int(width * scale), int(height * scale)
    left = int(random.integers(columns - crop_width + 1))
    top = int(random.integers(rows - crop_height + 1))
    crop = pixels[top : top + crop_height, left : left + crop_width]
    if random.random() < 0.5:
        crop = crop[:, ::-1]
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    resized = cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=method)
    gains = random.uniform(0.9, 1.1, size=3)
    table = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(resized, table[None]), dtype=np.uint8)


def _encode(pixels: Pixels, quality: int, target_bytes: int) -> tuple[bytes, int]:
    """A JPEG near the target, and the quality that gave it: the best guess for the next crop of the same photograph."""
    data = b""
    for step in (12, 8, 5, 3, 0):
        data = simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling="420")
        ratio = target_bytes / len(data)
        if 0.8 < ratio < 1.25 or not step:
            break
        better = int(np.clip(quality + (step if ratio > 1 else -step), 30, 98))
        if better == quality:
            break
        quality = better
    return data, quality
