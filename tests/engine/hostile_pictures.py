"""Pictures that are made to do harm: floods, bombs, loops and files of two kinds.

`REFUSED` has the reason beside each, `ACCEPTED` a sound picture with the same measures.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache, partial

from PIL import Image, ImageChops

from gleanset.types import Reason
from tests.engine.pictures import encode, photo

PNG = b"\x89PNG\r\n\x1a\n"
SCRIPT = b"<html><script>alert(1)</script></html>"


@cache
def plain(variant: str) -> bytes:
    """A small sound picture."""
    return encode(photo("china").resize((64, 48)), variant)


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def ihdr(width: int, height: int, bit_depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bit_depth, colour, 0, 0, 0))


def png_with(*chunks: bytes) -> bytes:
    """The plain PNG with more chunks before its pixels."""
    data = plain("png")
    return data[:33] + b"".join(chunks) + data[33:]


def segment(marker: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_with(*segments: bytes) -> bytes:
    """The plain JPEG with more segments behind its first marker."""
    data = plain("jpeg")
    return data[:2] + b"".join(segments) + data[2:]


def cmyk_jpeg(*segments: bytes) -> bytes:
    data = encode(photo("china").resize((64, 48)).convert("CMYK"), "jpeg")
    return data[:2] + b"".join(segments) + data[2:]


def ycck_jpeg(image: Image.Image) -> bytes:
    """An Adobe JPEG whose inks are coded as luma, chroma and black; Pillow itself writes plain CMYK only."""
    inks = ImageChops.invert(image).convert("YCbCr").split()
    data = encode(
        Image.merge("CMYK", [ImageChops.invert(band) for band in inks] + [Image.new("L", image.size)]), "jpeg"
    )
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\x02" + data[at + 1 :]


def hidden_scans(rubbish: bytes) -> bytes:
    """A progressive JPEG of hundreds of scans, with `rubbish` that decoders skip before its header."""
    data = encode(photo("china").resize((64, 48)), "jpeg progressive")
    scan = data.rindex(b"\xff\xda")
    return data[:2] + segment(0xFE) + rubbish + data[2:scan] + data[scan:-2] * 500 + data[-2:]


def sized_jpeg(image: Image.Image, width: int, height: int) -> bytes:
    """A JPEG up to its first scan, whose header gives another size."""
    data = bytearray(encode(image, "jpeg"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data[: data.index(b"\xff\xda")])


def empty_scans(count: int, width: int, height: int, between: bytes = b"") -> bytes:
    """A JPEG that is not called progressive, with scans of one colour component and no pixels in any of them."""
    scan = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00")
    return sized_jpeg(Image.new("RGB", (16, 16)), width, height) + (scan + between) * count + b"\xff\xd9"


def gif_with(blocks: bytes, *, behind: bool = False) -> bytes:
    """A GIF with more blocks before, or behind, its image."""
    header = b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    image = b"," + struct.pack("<HHHHB", 0, 0, 2, 2, 0) + b"\x02\x03\x84\x51\x05\x00"
    return header + (image + blocks if behind else blocks + image) + b";"


def ifd(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """A little-endian TIFF directory; entries are tag, type (3 short, 4 long), count and value or offset."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def tiff(
    width: int,
    height: int,
    *more: tuple[int, int, int, int],
    strips: int = 1,
    loop: bool = False,
    pixels: bytes | None = None,
) -> bytes:
    """A grey TIFF. With more strips than one, a row each, all of them are the same bytes."""
    start = 8 + 2 + 12 * (9 + len(more)) + 4
    body = bytes(range(256)) * (width * height // 256 + 1) if pixels is None else pixels
    offsets = start + len(body)
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, strips, start if strips == 1 else offsets),
        (277, 3, 1, 1),
        (278, 4, 1, height if strips == 1 else 1),
        (279, 4, strips, width * height if strips == 1 else offsets),
        *more,
    ]
    table = struct.pack("<I", start) * strips if strips > 1 else b""
    return b"II*\0\x08\0\0\0" + ifd(entries, 8 if loop else 0) + body + table


def bmp_rle(width: int, height: int, coded: bytes) -> bytes:
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(coded), 0, 0, 256, 256)
    return b"BM" + struct.pack("<IHHI", 1078 + len(coded), 0, 0, 1078) + sizes + bytes(1024) + coded


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8x(width: int, height: int, flags: int = 0) -> bytes:
    return (
        b"VP8X"
        + struct.pack("<IBxxx", 10, flags)
        + struct.pack("<I", width - 1)[:3]
        + struct.pack("<I", height - 1)[:3]
    )


def webp_frames(count: int) -> bytes:
    """A WebP animation whose frames are all alike."""
    body = plain("webp")[12:]
    frame = bytes(6) + struct.pack("<I", 63)[:3] + struct.pack("<I", 47)[:3] + struct.pack("<I", 40)[:3] + b"\0" + body
    anmf = b"ANMF" + struct.pack("<I", len(frame)) + frame + b"\0" * (len(frame) % 2)
    return webp(vp8x(64, 48, 2), b"ANIM" + struct.pack("<IIH", 6, 0, 0), anmf * count)


def avif_with_exif(exif: bytes) -> bytes:
    """An AVIF with this EXIF block, which need not be one: it takes the place of a sound one of its length."""
    sound = Image.Exif()
    sound[0x010F] = "x" * len(exif)
    block = sound.tobytes().removeprefix(b"Exif\0\0")
    return encode(photo("china").resize((64, 48)), "avif", exif=block).replace(block, exif.ljust(len(block), b"\0"))


def avif_sized(width: int, height: int) -> bytes:
    data = plain("avif")
    return data.replace(
        b"ispe\0\0\0\0" + struct.pack(">II", 64, 48), b"ispe\0\0\0\0" + struct.pack(">II", width, height)
    )


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def full_box(kind: bytes, body: bytes, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24) + body)


def avif_grid(side: int) -> bytes:
    """A square of `side` times `side` tiles of 64 x 64 pixels, which all are the same coded bytes."""
    tile = encode(Image.new("RGB", (64, 64), (200, 100, 50)), "avif")
    av1c, pixi = (
        tile[at : at + int.from_bytes(tile[at : at + 4], "big")]
        for at in (tile.index(b"av1C") - 4, tile.index(b"pixi") - 4)
    )
    coded = tile[tile.index(b"mdat") + 4 :]
    tiles = range(2, side * side + 2)
    grid = bytes([0, 1, side - 1, side - 1]) + struct.pack(">II", 64 * side, 64 * side)
    entries = [(1, b"grid"), *((tile, b"av01") for tile in tiles)]
    count = struct.pack(">I", len(entries))
    items = b"".join(full_box(b"infe", struct.pack(">IH", n, 0) + kind + b"\0", 3) for n, kind in entries)
    parts = struct.pack(">IH", 1, len(tiles)) + b"".join(struct.pack(">I", tile) for tile in tiles)
    sizes = [full_box(b"ispe", struct.pack(">II", pixels, pixels)) for pixels in (64 * side, 64)]
    owns = [struct.pack(">I", 1) + b"\2\1\4", *(struct.pack(">I", tile) + b"\3\2\x83\4" for tile in tiles)]

    def head(start: int) -> bytes:
        places = [(1, start, len(grid)), *((tile, start + len(grid), len(coded)) for tile in tiles)]
        extents = b"".join(struct.pack(">IHHHII", n, 0, 0, 1, at, size) for n, at, size in places)
        return box(b"ftyp", b"avif\0\0\0\0avifmif1miaf") + full_box(
            b"meta",
            full_box(b"hdlr", bytes(4) + b"pict" + bytes(13))
            + full_box(b"pitm", struct.pack(">I", 1), 1)
            + full_box(b"iloc", b"\x44\0" + count + extents, 2)
            + full_box(b"iinf", count + items, 1)
            + box(b"iprp", box(b"ipco", b"".join(sizes) + av1c + pixi) + full_box(b"ipma", count + b"".join(owns), 1))
            + full_box(b"iref", box(b"dimg", parts), 1),
        )

    return head(len(head(0)) + 8) + box(b"mdat", grid + coded)


@cache
def bomb(size: int = 100_000_000) -> bytes:
    return zlib.compress(bytes(size), 9)


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


def icc(profile: bytes) -> bytes:
    """A profile in as many JPEG segments as it takes."""
    parts = [profile[at : at + 65_000] for at in range(0, len(profile), 65_000)]
    return b"".join(
        segment(0xE2, b"ICC_PROFILE\0" + bytes([n % 255 + 1, min(255, len(parts))]) + part)
        for n, part in enumerate(parts)
    )


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", SCRIPT)
    return buffer.getvalue()


def script_gif(hidden: bytes) -> bytes:
    """A GIF that is a script as well: its width reads `/*`, and what follows the comment is `hidden`."""
    image = bytearray(encode(Image.new("P", (0x2A2F, 2), 1), "gif"))
    assert image[6:8] == b"/*"
    start = image.index(b",", 13)
    text = b"*/=1;" + hidden
    return b"GIF89a" + bytes(image[6:start]) + b"!\xfe" + bytes([len(text)]) + text + b"\0" + bytes(image[start:])


# An EXIF block that is its own following directory, and one that says it has more entries than bytes.
EXIF_LOOP = b"II*\0\x08\0\0\0" + ifd([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)], 8)
EXIF_COUNT = b"MM\0*\0\0\0\x08\xff\xff" + struct.pack(">HHII", 0x010F, 2, 0xFFFFFFFF, 8) * 20
EXIF_ODD = {
    "loop": EXIF_LOOP,
    "count": EXIF_COUNT,
    "junk": b"JJJJ" * 8,
    "offset": b"II*\0\xff\xff\xff\xff" + bytes(20),
    "values": b"II*\0\x08\0\0\0" + ifd([(tag, 2, 30_000, 8) for tag in range(2000, 4000)]),
}

Maker = Callable[[], bytes]

REFUSED: dict[str, tuple[Maker, Reason]] = {
    "png of 65,535 squared": (
        lambda: PNG + ihdr(65_535, 65_535) + chunk(b"IDAT") + chunk(b"IEND"),
        Reason.TOO_MANY_PIXELS,
    ),
    "gif of 65,535 squared": (
        lambda: b"GIF89a" + b"\xff" * 4 + bytes(3) + b"," + bytes(4) + b"\xff" * 4 + b"\0\x02\0;",
        Reason.TOO_MANY_PIXELS,
    ),
    "webp of 65,535 squared": (lambda: webp(vp8x(65_535, 65_535), plain("webp")[12:60]), Reason.TOO_MANY_PIXELS),
    "bmp of 65,535 squared": (
        lambda: b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 65_535, 65_535, 1, 24, 0, 0, 0, 0, 0, 0),
        Reason.TOO_MANY_PIXELS,
    ),
    "tiff of 65,535 squared": (lambda: tiff(65_535, 65_535, pixels=b""), Reason.TOO_MANY_PIXELS),
    "jpeg of 65,535 squared": (
        lambda: (
            b"\xff\xd8"
            + segment(0xC0, struct.pack(">BHHB", 8, 65_535, 65_535, 1) + b"\x01\x11\0")
            + segment(0xDA, b"\x01\x01\0\0\x3f\0")
        ),
        Reason.TOO_MANY_PIXELS,
    ),
    "avif of 65,535 squared": (lambda: avif_sized(65_535, 65_535), Reason.TOO_MANY_PIXELS),
    "png, flood of chunks": (lambda: png_with(chunk(b"abCd") * 100_001), Reason.DAMAGED),
    "png, flood of empty pixel chunks": (lambda: png_with(chunk(b"IDAT") * 100_001), Reason.DAMAGED),
    "jpeg, flood of comments": (lambda: jpeg_with(segment(0xFE) * 10_001), Reason.DAMAGED),
    "cmyk jpeg, flood of comments": (lambda: cmyk_jpeg(segment(0xFE) * 10_001), Reason.DAMAGED),
    "jpeg, thousands of scans without the name": (lambda: empty_scans(5_000, 16, 16), Reason.DAMAGED),
    "jpeg, thirty scans of a hundred megapixels": (lambda: empty_scans(30, 10_000, 10_000), Reason.DAMAGED),
    "jpeg, scans behind rubbish": (lambda: hidden_scans(b"rubbish"), Reason.DAMAGED),
    "jpeg, scans behind fill bytes": (lambda: hidden_scans(b"\xff\xff\xff"), Reason.DAMAGED),
    "jpeg, scans behind a false end": (
        lambda: empty_scans(5_000, 16, 16, between=segment(0xFE, b"\xff\xd9")),
        Reason.DAMAGED,
    ),
    "jpeg, no pixels in its only scan": (lambda: empty_scans(1, 3_000, 3_000), Reason.TRUNCATED),
    "cmyk jpeg, cut short but closed": (lambda: cmyk_jpeg()[:-400] + b"\xff\xd9", Reason.TRUNCATED),
    "gif, flood of extensions": (lambda: gif_with(b"!\x01\0" * 400_001), Reason.DAMAGED),
    "gif, flood of extensions behind": (lambda: gif_with(b"!\x01\0" * 400_001, behind=True), Reason.DAMAGED),
    "gif, comment of single letters": (lambda: gif_with(b"!\xfe" + b"\x01a" * 400_001 + b"\0"), Reason.DAMAGED),
    "gif, rubbish between its blocks": (lambda: gif_with(b"\x01" * 800_001), Reason.DAMAGED),
    "gif without an image": (lambda: b"GIF89a" + bytes(7) + b"!\xfe\x01a\0;", Reason.TRUNCATED),
    "tiff, flood of strips": (lambda: tiff(2, 65_537, strips=65_537), Reason.DAMAGED),
    "tiff, flood of entries": (lambda: tiff(2, 2, *[(tag, 3, 1, 0) for tag in range(1000, 6000)]), Reason.DAMAGED),
    "bigtiff, endless directory": (
        lambda: b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" + b"\xff" * 7 + b"\0" + bytes(2000),
        Reason.DAMAGED,
    ),
    "big-endian bigtiff": (lambda: b"MM\0+\0\x08\0\0" + bytes(100), Reason.UNSUPPORTED_FORMAT),
    "bmp, run-length coded and large": (lambda: bmp_rle(10_000, 10_000, b"\x01\0\0\0" * 9), Reason.TOO_MANY_PIXELS),
    "bmp, runs that fill nothing": (lambda: bmp_rle(64, 64, b"\x01\0" * 1_000_000), Reason.DAMAGED),
    "webp, canvas of another size": (lambda: webp(vp8x(9_999, 9_999), plain("webp")[12:]), Reason.DAMAGED),
    "webp, frame of another size": (
        lambda: plain("webp").replace(b"\x2a\x40\0\x30\0", b"\x2a\xd0\x07\xd0\x07"),
        Reason.DAMAGED,
    ),
    "avif, grid of thousands of tiles": (lambda: avif_grid(100), Reason.DAMAGED),
    "avif, flood of boxes": (
        lambda: avif_with_exif(EXIF_LOOP) + b"\0\0\0\x08free" * 1_001,
        Reason.DAMAGED,
    ),
}

ACCEPTED: dict[str, tuple[Maker, Maker]] = {
    "png, bomb for a profile": (lambda: png_with(chunk(b"iCCP", b"a\0\0" + bomb())), lambda: plain("png")),
    "png, thousand profiles": (
        lambda: png_with(chunk(b"iCCP", b"a\0\0" + bomb(1_000_000)) * 1_000),
        lambda: plain("png"),
    ),
    "png, bomb for a text": (lambda: png_with(chunk(b"zTXt", b"a\0\0" + bomb())), lambda: plain("png")),
    "png, bomb for an international text": (
        lambda: png_with(chunk(b"iTXt", b"a\0\1\0\0\0" + bomb())),
        lambda: plain("png"),
    ),
    "png, profile that is none": (lambda: png_with(chunk(b"iCCP", b"junk" * 9)), lambda: plain("png")),
    "png, texts without number": (lambda: png_with(chunk(b"tEXt", b"a\0" + b"b" * 99) * 9_000), lambda: plain("png")),
    "jpeg, huge profile": (lambda: jpeg_with(icc(noise(3_000_000))), lambda: plain("jpeg")),
    "jpeg, profile that is none": (lambda: jpeg_with(segment(0xE2, b"ICC_PROFILE\0")), lambda: plain("jpeg")),
    "cmyk jpeg, huge profile": (lambda: cmyk_jpeg(icc(noise(2_000_000))), lambda: cmyk_jpeg()),
    "webp, huge profile": (
        lambda: webp(vp8x(64, 48, 32), b"ICCP" + struct.pack("<I", 1_000_000) + noise(1_000_000), plain("webp")[12:]),
        lambda: plain("webp"),
    ),
    "tiff, profile that is none": (
        lambda: encode(photo("china").resize((64, 48)), "tiff", icc_profile=noise(500_000)),
        lambda: plain("tiff"),
    ),
    "tiff, its own next directory": (lambda: tiff(64, 48, loop=True), lambda: tiff(64, 48)),
    "tiff, its own directory of EXIF": (
        lambda: tiff(64, 48, (0x8769, 4, 1, 8), (0x8825, 4, 1, 8)),
        lambda: tiff(64, 48),
    ),
    "tiff, entries that share the file": (
        lambda: tiff(64, 48, *[(tag, 1, 3_000, 0) for tag in range(1000, 4000)]),
        lambda: tiff(64, 48),
    ),
    "tiff, a strip a row": (
        lambda: tiff(32, 65_000, strips=65_000),
        lambda: tiff(32, 65_000, pixels=bytes(range(32)) * 65_000),
    ),
    "jpeg and page": (lambda: plain("jpeg") + SCRIPT, lambda: plain("jpeg")),
    "page within a jpeg": (lambda: jpeg_with(segment(0xFE, SCRIPT)), lambda: plain("jpeg")),
    "png and zip": (lambda: plain("png") + zipped(), lambda: plain("png")),
    "gif and script": (lambda: script_gif(b"alert(1)//"), lambda: encode(Image.new("P", (0x2A2F, 2), 1), "gif")),
}


def with_exif(variant: str, exif: bytes) -> bytes:
    """The plain picture with this EXIF block, be it one or not."""
    if variant == "jpeg":
        return jpeg_with(segment(0xE1, b"Exif\0\0" + exif))
    if variant == "cmyk jpeg":
        return cmyk_jpeg(segment(0xE1, b"Exif\0\0" + exif))
    if variant == "png":
        return png_with(chunk(b"eXIf", exif))
    if variant == "webp":
        return webp(
            vp8x(64, 48, 8), plain("webp")[12:], b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2)
        )
    return avif_with_exif(exif)


for _kind, _block in EXIF_ODD.items():
    for _variant in ("jpeg", "cmyk jpeg", "png", "webp", "avif"):
        ACCEPTED[f"{_variant}, EXIF with odd {_kind}"] = (
            partial(with_exif, _variant, _block),
            cmyk_jpeg if _variant == "cmyk jpeg" else partial(plain, _variant),
        )
