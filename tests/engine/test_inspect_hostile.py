"""What `inspect` says of files that are cut short, damaged, something else, or made to do harm."""

from __future__ import annotations

import re
import struct
import zlib
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gleanset.errors import ImageRefused
from gleanset.inspect import InspectLimits, inspect
from gleanset.types import Reason
from tests.engine.pictures import FORMATS, VARIANTS, encode, photo, sample


def refusal(data: bytes, limits: InspectLimits | None = None) -> Reason:
    with pytest.raises(ImageRefused) as caught:
        inspect(data, limits or InspectLimits())
    return caught.value.reason


def png(width: int, height: int, *, bit_depth: int = 8, colour: int = 2, idat: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.8, 0.95])
def test_truncated(variant: str, share: float) -> None:
    data = sample(variant)
    assert refusal(data[: int(len(data) * share)]) is Reason.TRUNCATED


@pytest.mark.parametrize("variant", FORMATS)
def test_every_prefix_of_a_header_is_refused(variant: str) -> None:
    reasons = {refusal(sample(variant)[:length]) for length in range(60)}
    assert reasons <= {Reason.EMPTY, Reason.NOT_AN_IMAGE, Reason.TRUNCATED, Reason.DAMAGED, Reason.UNSUPPORTED_FORMAT}
    assert Reason.EMPTY in reasons


def test_jpeg_cut_short_but_closed_is_truncated() -> None:
    data = sample("jpeg")
    assert refusal(data[: len(data) // 2] + b"\xff\xd9") is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"\0", Reason.NOT_AN_IMAGE),
        (b"<!DOCTYPE html><html><body><svg></svg></body></html>", Reason.NOT_AN_IMAGE),
        (b"  <html><head></head></html>", Reason.NOT_AN_IMAGE),
        (b"<p>Not found, but here is an <svg> anyway", Reason.NOT_AN_IMAGE),
        (b"Not Found", Reason.NOT_AN_IMAGE),
        (b"BMW is a maker of cars", Reason.NOT_AN_IMAGE),
        (b'{"error": 404}', Reason.NOT_AN_IMAGE),
        (bytes(5000), Reason.NOT_AN_IMAGE),
        (b"PK\x03\x04" + bytes(100), Reason.NOT_AN_IMAGE),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', Reason.UNSUPPORTED_FORMAT),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made by hand -->\n<svg width="1"/>', Reason.UNSUPPORTED_FORMAT),
        (b"\0\0\x01\0\x01\0" + bytes(40), Reason.UNSUPPORTED_FORMAT),
        (b"8BPS\0\x01" + bytes(40), Reason.UNSUPPORTED_FORMAT),
        (b"\xff\x0a" + bytes(40), Reason.UNSUPPORTED_FORMAT),
        (b"\0\0\0\x0cJXL \r\n\x87\n", Reason.UNSUPPORTED_FORMAT),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Reason.UNSUPPORTED_FORMAT),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", Reason.UNSUPPORTED_FORMAT),
        (b"%PDF-1.7\n", Reason.UNSUPPORTED_FORMAT),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", Reason.UNSUPPORTED_FORMAT),
        (b"P6\n2 2\n255\n" + bytes(12), Reason.UNSUPPORTED_FORMAT),
        (b"\x1aE\xdf\xa3" + bytes(40), Reason.UNSUPPORTED_FORMAT),
        (b"<!-- -->" * 500, Reason.NOT_AN_IMAGE),
        (b"\xff\xd8\xff\xd9", Reason.DAMAGED),
    ],
)
def test_what_is_no_image_here(data: bytes, reason: Reason) -> None:
    assert refusal(data) is reason


@pytest.mark.parametrize(
    "signature", [b"GIF89a", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"II*\0"]
)
def test_a_page_behind_a_signature_is_no_image(signature: bytes) -> None:
    assert refusal(signature + b"<html><script>alert(1)</script></html>" * 9) in (Reason.DAMAGED, Reason.TRUNCATED)


def test_the_format_is_named() -> None:
    with pytest.raises(ImageRefused, match=re.escape("This is PSD.")):
        inspect(b"8BPS\0\x01" + bytes(40))


def test_content_behind_an_image_does_not_matter() -> None:
    for variant in ("jpeg", "png", "gif", "bmp"):
        found = inspect(sample(variant) + b"PK\x03\x04<html><script>alert(1)</script></html>")
        assert found.pdq == inspect(sample(variant)).pdq


def test_damaged() -> None:
    broken = bytearray(sample("png"))
    broken[len(broken) // 2] ^= 0xFF
    assert refusal(bytes(broken)) is Reason.DAMAGED
    assert refusal(sample("jpeg")[:200] + bytes(5000)) in (Reason.DAMAGED, Reason.TRUNCATED)
    assert refusal(png(10, 10, idat=zlib.compress(b"")[:-4])) in (Reason.DAMAGED, Reason.TRUNCATED)


def with_size(variant: str, width: int, height: int) -> bytes:
    """A small file whose header says that it is huge."""
    data = bytearray(encode(Image.new("RGB" if variant != "gif" else "P", (16, 16)), variant))
    if variant == "jpeg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    elif variant == "gif":
        data[6:10] = struct.pack("<HH", width, height)
    elif variant == "bmp":
        data[18:26] = struct.pack("<ii", width, height)
    elif variant == "webp":
        at = data.index(b"\x9d\x01\x2a") + 3
        data[at : at + 4] = struct.pack("<HH", min(width, 16383), min(height, 16383))
    elif variant == "tiff":
        for tag, value in ((256, width), (257, height)):
            at = data.index(struct.pack("<HHI", tag, 4, 1)) + 8
            data[at : at + 4] = struct.pack("<I", value)
    else:
        return png(width, height)
    return bytes(data)


@pytest.mark.parametrize("variant", ["jpeg", "png", "webp", "gif", "tiff", "bmp"])
def test_bombs_are_refused_by_their_header(variant: str) -> None:
    data = with_size(variant, 65_535, 65_535)
    assert len(data) < 2_000
    assert refusal(data) is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_limit_is_exact(variant: str) -> None:
    pixels = 320 * 213
    assert inspect(sample(variant), InspectLimits(max_pixels=pixels)).width == 320
    assert refusal(sample(variant), InspectLimits(max_pixels=pixels - 1)) is Reason.TOO_MANY_PIXELS


def test_our_limit_decides_and_not_pillows_warning() -> None:
    data = encode(Image.new("1", (9_600, 9_600)), "png")  # more than Image.MAX_IMAGE_PIXELS; warnings are errors here
    assert inspect(data).width == 9_600


def test_endless_progressive_scans_are_refused() -> None:
    data = sample("jpeg progressive")
    scan = data.rindex(b"\xff\xda")
    assert refusal(data[:scan] + data[scan:-2] * 500 + data[-2:]) is Reason.DAMAGED


# ---------------------------------------------------------------------------------------------------- robustness


def mutate(data: bytes, edits: list[tuple[float, bytes]], cut: float) -> bytes:
    mutable = bytearray(data[: max(1, int(len(data) * cut))])
    for place, piece in edits:
        at = int(place * len(mutable))
        mutable[at : at + len(piece)] = piece
    return bytes(mutable)


@cache
def seeds() -> list[bytes]:
    image = photo("china").resize((40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    variants = [encode(image, variant) for variant in VARIANTS]
    exotic = [
        encode(image, "jpeg", exif=exif),
        encode(image.convert("CMYK"), "jpeg"),
        encode(image.quantize(16), "png", transparency=b"\x80\x40"),
        encode(image, "tiff lzw", exif=exif),
        encode(image, "webp", exif=exif),
        *(encode(image, kind, save_all=True, append_images=[image.rotate(90)]) for kind in ("gif", "png", "webp")),
    ]
    return variants + exotic


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 18),
    st.lists(st.tuples(st.one_of(st.floats(0, 0.2), st.floats(0, 1)), st.binary(min_size=1, max_size=8)), max_size=6),
    st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_nothing_but_refusals_for_mutated_files(which: int, edits: list[tuple[float, bytes]], cut: float) -> None:
    try:
        found = inspect(mutate(seeds()[which], edits, cut), InspectLimits(max_pixels=1_000_000))
    except ImageRefused:
        return
    assert len(found.pdq) == 32
    assert 0 <= found.brightness <= 1


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([sample_[:12] for sample_ in map(sample, FORMATS)]), st.binary(max_size=200))
def test_nothing_but_refusals_for_junk_behind_a_signature(signature: bytes, junk: bytes) -> None:
    with pytest.raises(ImageRefused):
        inspect(signature + junk)
