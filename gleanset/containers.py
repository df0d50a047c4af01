"""What files are refused for, or relieved of, before a decoder sees them.

Decoders read what a header or a chunk says before any limit on pixels counts: a few kilobytes of empty scans, or a file
that is nothing but metadata, can keep them busy for minutes. The bounds here are far above what any encoder writes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from gleanset.errors import ImageRefused
from gleanset.types import Reason

# A progressive JPEG has about ten scans, and each costs a pass over all of its pixels.
MAX_JPEG_SCANS = 200
MAX_JPEG_SCANNED_PIXELS = 2_500_000_000
MAX_JPEG_SEGMENTS = 10_000
MAX_PNG_CHUNKS = 100_000
MAX_GIF_BLOCKS = 400_000
MAX_TIFF_ENTRIES = 4_096
MAX_TIFF_STRIPS = 65_536
MAX_AVIF_BOXES = 1_000
# A grid's tiles are items, and libavif looks for each among all.
MAX_AVIF_ITEMS = 2_048
MAX_AVIF_PIXELS, MAX_AVIF_SIDE = 16_384 * 16_384, 32_768
# Pillow unpacks these in Python, a microsecond a pixel.
MAX_BMP_RLE_PIXELS = 1 << 21


def defused(data: bytes, format_: str) -> bytes:
    """What a decoder may have of `data`. Raises ImageRefused for files that are built to keep it busy.

    What is left out is metadata that Gleanset does not ask for, and that decoders stumble over.
    """
    work = _BY_FORMAT.get(format_)
    return work(data) if work else data


def _refuse_more(count: int, most: int, what: str) -> None:
    if count > most:
        raise ImageRefused(Reason.DAMAGED, f"The file has more than {most} {what}.")


# As libjpeg finds its next marker: over fill bytes and rubbish, stuffed zeros and restarts of entropy-coded data.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_SOF = frozenset({0xC0, 0xC1, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_EOI, _SOS = 0xD9, 0xDA


def _jpeg(data: bytes) -> bytes:
    """Scans count in every JPEG whose first one leaves a component out, be it called progressive or not."""
    at, segments, scans, pixels, components, progressive = 2, 0, 0, 0, 0, False
    while match := _JPEG_MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker == _EOI:
            break
        if marker in _SOF and not components:
            height, width, components = struct.unpack_from(">HHB", data, at + 3)
            pixels, progressive = width * height, marker in (0xC2, 0xC6, 0xCA, 0xCE)
        elif marker == _SOS:
            if not progressive and not scans and data[at + 2] >= components:
                break
            scans += 1
            _refuse_more(scans, MAX_JPEG_SCANS, "scans")
            _refuse_more(scans * pixels, MAX_JPEG_SCANNED_PIXELS, "pixels in all its scans")
        segments += 1
        _refuse_more(segments, MAX_JPEG_SEGMENTS, "segments")
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return data


def _png(data: bytes) -> bytes:
    """Without texts and colour profile: they may be deflated, and Pillow inflates each of them."""
    kept, at, chunks = [data[:8]], 8, 0
    while at < len(data):
        chunks += 1
        _refuse_more(chunks, MAX_PNG_CHUNKS, "chunks")
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if kind not in (b"iCCP", b"zTXt", b"iTXt", b"tEXt"):
            kept.append(data[at:end])
        if kind == b"IEND":
            break
        at = end
    return b"".join(kept)


def _gif(data: bytes) -> bytes:
    """Blocks up to the second image, which is as far as Pillow reads."""
    if len(data) <= 2 * MAX_GIF_BLOCKS:  # not enough bytes for as many blocks
        return data
    at, blocks, images = 13 + _gif_palette(data[10]), 0, 0
    while at < len(data) and images < 2 and data[at] != ord(";"):
        kind, at = data[at], at + 1
        if kind == ord(","):
            images += 1
            at += 10 + _gif_palette(data[at + 8])
        elif kind == ord("!"):
            at += 1
        if kind in b",!":
            while at < len(data) and data[at]:
                at += 1 + data[at]
                blocks += 1
                _refuse_more(blocks, MAX_GIF_BLOCKS, "blocks")
            at += 1
        blocks += 1
        _refuse_more(blocks, MAX_GIF_BLOCKS, "blocks")
    return data


def _gif_palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 128 else 0


def _tiff(data: bytes) -> bytes:
    """Entries, and strips or tiles of the first directory: Pillow makes an object of each."""
    order = "<" if data[:1] == b"I" else ">"
    big = b"+" in data[2:4]
    start: int = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]
    number: int = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, start)[0]
    _refuse_more(number, MAX_TIFF_ENTRIES, "entries in a directory")
    entry = struct.Struct(f"{order}HHQ8x" if big else f"{order}HHI4x")
    start += 8 if big else 2
    whole = data[start : start + number * entry.size]
    for tag, _, count in entry.iter_unpack(whole[: len(whole) // entry.size * entry.size]):
        if tag in (273, 324):
            _refuse_more(count, MAX_TIFF_STRIPS, "strips or tiles")
    return data


_AVIF_SIZE = re.compile(rb"ispe\0\0\0\0(.{8})", re.DOTALL)


def _avif(data: bytes) -> bytes:
    """Sizes past libavif's own limit, which it does not name when it gives up.

    The EXIF comes under another name: a malformed one is fatal, and AVIF turns pictures by boxes of its own.
    """
    for match in _AVIF_SIZE.finditer(data):
        width, height = struct.unpack(">II", match[1])
        if width * height > MAX_AVIF_PIXELS or max(width, height) > MAX_AVIF_SIDE:
            raise ImageRefused(Reason.TOO_MANY_PIXELS, f"{width} x {height} pixels are more than AVIF decoders take.")
    _refuse_more(data.count(b"infe"), MAX_AVIF_ITEMS, "items")
    if b"Exif" not in data:
        return data
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        box = data[at : at + size] if size >= 8 else data[at:]
        parts.append(box if kind == b"mdat" else box.replace(b"Exif", b"exif"))
        _refuse_more(len(parts), MAX_AVIF_BOXES, "boxes")
        at += len(box)
    return b"".join(parts)


def _bmp(data: bytes) -> bytes:
    """Run-length coded ones only as large as Pillow is fast, and not longer than their pixels need."""
    offset, header, width, height = struct.unpack_from("<IIii", data, 10)
    if header < 40 or data[30] not in (1, 2):
        return data
    pixels = abs(width * height)
    if pixels > MAX_BMP_RLE_PIXELS:
        raise ImageRefused(
            Reason.TOO_MANY_PIXELS, f"{width} x {height} run-length coded pixels; the limit is {MAX_BMP_RLE_PIXELS}."
        )
    return data[: offset + 2 * pixels + 4 * abs(height) + 1024]


_BY_FORMAT: dict[str, Callable[[bytes], bytes]] = {
    "jpeg": _jpeg,
    "png": _png,
    "gif": _gif,
    "tiff": _tiff,
    "avif": _avif,
    "bmp": _bmp,
}
