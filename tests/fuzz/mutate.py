"""Valid files of all formats, and what a seed makes of one: the same seed gives the same bytes."""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

from tests.engine.hostile_pictures import avif_grid, bmp_rle, tiff, webp_frames, ycck_jpeg
from tests.engine.pictures import VARIANTS, encode, photo

Edit = Callable[[random.Random, bytearray], None]


@cache
def corpus() -> list[bytes]:
    """Small files, several of each format."""
    image = photo("china").resize((48, 40))
    turned = Image.Exif()
    turned[0x0112], turned[0x010F] = 6, "maker"
    deep = Image.fromarray(np.arange(48 * 40, dtype=np.uint16).reshape(40, 48) * 30)
    moving = {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)], "duration": 40}
    return [
        *(encode(image, variant) for variant in VARIANTS),
        *(encode(image, variant, exif=turned) for variant in ("jpeg", "png", "webp", "tiff lzw", "avif")),
        *(encode(image, variant, **moving) for variant in ("gif", "png", "webp", "avif", "tiff")),
        *(encode(image, variant, icc_profile=bytes(range(256)) * 2) for variant in ("jpeg", "png", "webp", "avif")),
        *(encode(image.convert("CMYK"), variant) for variant in ("jpeg", "tiff", "tiff lzw")),
        *(encode(image.convert("L"), variant) for variant in ("jpeg", "png", "gif", "bmp", "tiff lzw")),
        *(encode(image.convert("1"), variant) for variant in ("png", "bmp", "tiff")),
        *(encode(image.convert("RGBA"), variant) for variant in ("png", "webp lossless", "tiff", "avif", "bmp")),
        *(encode(deep, variant) for variant in ("png", "tiff", "tiff lzw")),
        encode(image.quantize(16), "png", transparency=b"\x80\x40"),
        encode(image.quantize(200), "gif", transparency=3),
        encode(image.quantize(16), "bmp"),
        encode(image.convert("LAB"), "tiff"),
        encode(image.convert("1"), "tiff", compression="group4"),
        encode(image, "tiff", compression="packbits"),
        encode(image, "tiff", big_tiff=True),
        encode(image, "jpeg progressive", subsampling=0, restart_marker_blocks=2),
        ycck_jpeg(image),
        tiff(48, 40, strips=40),
        bmp_rle(48, 40, (b"\x18\0\x10\xff\0\x05abcde\0\x03\0\0\0") * 40 + b"\0\x01"),
        webp_frames(4),
        avif_grid(2),
    ]


def mutated(seed: int) -> bytes:
    """What is tried under this number."""
    dice = random.Random(seed)
    data = bytearray(dice.choice(corpus()))
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5, 9))):
        dice.choice(EDITS)(dice, data)
    if dice.random() < 0.5:
        mend_png(data)
    return bytes(data)


def place(dice: random.Random, data: bytearray) -> int:
    """Anywhere, but as often as not within the first bytes, where headers are."""
    return dice.randrange(max(1, min(len(data), dice.choice((40, 400, len(data) or 1, len(data) or 1)))))


def flip_bits(dice: random.Random, data: bytearray) -> None:
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        if data:
            data[place(dice, data)] ^= 1 << dice.randrange(8)


def put_bytes(dice: random.Random, data: bytearray) -> None:
    at, size = place(dice, data), dice.randrange(1, 9)
    data[at : at + size] = dice.choice((dice.randbytes(size), b"\0" * size, b"\xff" * size))


def cut(dice: random.Random, data: bytearray) -> None:
    del data[place(dice, data) :]


def drop(dice: random.Random, data: bytearray) -> None:
    at = place(dice, data)
    del data[at : at + dice.choice((1, 2, 4, 12, 100, 1000))]


def splice(dice: random.Random, data: bytearray) -> None:
    other = dice.choice(corpus())
    start = dice.randrange(len(other))
    data[place(dice, data) :] = other[start:]


def insert_other(dice: random.Random, data: bytearray) -> None:
    other = dice.choice(corpus())
    start = dice.randrange(len(other))
    at = place(dice, data)
    data[at:at] = other[start : start + dice.choice((4, 12, 100, 1000))]


def set_number(dice: random.Random, data: bytearray) -> None:
    """A value at a limit where a length, a count, a size or an offset may stand."""
    kind = dice.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(kind)
    at = place(dice, data)
    if at + size <= len(data):
        most = (1 << 8 * size) - 1
        near = (len(data), len(data) - at, int(struct.unpack_from(kind, data, at)[0]))
        value = dice.choice((0, 1, 2, 8, most, most >> 1, (most >> 1) + 1, *near)) + dice.choice((-1, 0, 0, 1))
        struct.pack_into(kind, data, at, value & most)


# Where pieces of a container begin: chunks, segments, blocks, entries and boxes.
PIECES = re.compile(
    rb"....(?:IHDR|PLTE|tRNS|IDAT|IEND|acTL|fcTL|fdAT|eXIf|iCCP)|VP8[ XL]|ANIM|ANMF|ALPH|ICCP|EXIF"
    rb"|....(?:meta|iloc|iinf|infe|iref|dimg|iprp|ipco|ipma|ispe|av1C|pixi|mdat|moov|trak|mdia|stbl|stsz|stco|stsc|irot)"
    rb"|\xff[\xc0-\xcf\xda-\xdf\xe0-\xef\xfe]|!\xf9|!\xff|!\xfe|,\0\0\0\0|(?:[\xfe\xff]\0|[\x00-\x1f]\x01)[\x01-\x05]\0",
    re.DOTALL,
)


def repeat_piece(dice: random.Random, data: bytearray) -> None:
    starts = [match.start() for match in PIECES.finditer(data)] or [0]
    first = dice.randrange(len(starts))
    start = starts[first]
    stop = starts[first + 1] if first + 1 < len(starts) else len(data)
    if dice.random() < 0.3:
        start, stop = place(dice, data), place(dice, data)
    piece = data[start:stop]
    at = dice.choice(starts)
    data[at:at] = piece[:5_000] * dice.choice((1, 1, 2, 10))


EDITS: tuple[Edit, ...] = (
    flip_bits,
    flip_bits,
    put_bytes,
    cut,
    drop,
    splice,
    insert_other,
    set_number,
    set_number,
    set_number,
    repeat_piece,
    repeat_piece,
)


def mend_png(data: bytearray) -> None:
    """Checksums that fit again, or no mutation would get past them."""
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size > len(data):
            return
        struct.pack_into(">I", data, at + 8 + size, zlib.crc32(data[at + 4 : at + 8 + size]))
        at += 12 + size
