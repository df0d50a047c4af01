"""What `inspect` says of real files: whole, turned, cut short, damaged, hostile."""

from __future__ import annotations

import io
import re
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pdqhash
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from gleanset.errors import ImageRefused
from gleanset.inspect import InspectLimits, inspect
from gleanset.types import Inspection, Reason

PHOTOS = {
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "camera": ("skimage", "data/camera.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "coins": ("skimage", "data/coins.png"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
FORMATS = ("jpeg", "png", "webp", "gif", "tiff", "avif", "bmp")
VARIANTS = (*FORMATS, "jpeg progressive", "tiff lzw", "tiff jpeg", "tiff deflate", "webp lossless")
OPTIONS = {
    "png": {"compress_level": 1},
    "jpeg progressive": {"progressive": True},
    "tiff lzw": {"compression": "tiff_lzw"},
    "tiff jpeg": {"compression": "jpeg"},
    "tiff deflate": {"compression": "tiff_deflate"},
    "webp lossless": {"lossless": True},
    "avif": {"speed": 9},
}


@cache
def photo(name: str) -> Image.Image:
    package, path = PHOTOS[name]
    spec = find_spec(package)  # finds the folder without the seconds that importing the package takes
    assert spec is not None
    assert spec.origin is not None
    return Image.open(Path(spec.origin).parent / path).convert("RGB")


def encode(image: Image.Image, variant: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, variant.split()[0], **(OPTIONS.get(variant, {}) | options))
    return buffer.getvalue()


@cache
def sample(variant: str) -> bytes:
    return encode(photo("china").resize((320, 213)), variant)


def grey(values: object) -> Image.Image:
    return Image.fromarray(np.asarray(values, np.uint8))


def bits(pdq: bytes) -> np.ndarray:
    return np.unpackbits(np.frombuffer(pdq, np.uint8))


def distance(one: Inspection, other: Inspection) -> int:
    return int((bits(one.pdq) != bits(other.pdq)).sum())


def refusal(data: bytes, limits: InspectLimits | None = None) -> Reason:
    with pytest.raises(ImageRefused) as caught:
        inspect(data, limits or InspectLimits())
    return caught.value.reason


def png(width: int, height: int, *, bit_depth: int = 8, colour: int = 2, idat: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


# ---------------------------------------------------------------------------------------------------- what is measured


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_format_gives_the_same_picture(variant: str) -> None:
    image = photo("chelsea")
    data = encode(image, variant)
    found, reference = inspect(data), inspect(encode(image, "png"))
    assert found.format == variant.split()[0]
    assert (found.width, found.height, found.file_size) == (*image.size, len(data))
    assert (found.orientation, found.animated) == (1, False)
    assert distance(found, reference) < 31
    assert found.pdq_quality == 100
    assert found.brightness == pytest.approx(reference.brightness, abs=0.01)
    assert found.contrast == pytest.approx(reference.contrast, abs=0.01)


def test_sha256_is_of_the_original_bytes() -> None:
    # A one-pixel GIF; the sum is that of coreutils' sha256sum.
    data = bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b")
    found = inspect(data)
    assert found.sha256 == "6c63cc5063ac82d8bbc925f9a31adf3a87f1510c021e0fde51854d60484b5019"
    assert (found.width, found.height, found.format) == (1, 1, "gif")


def test_flat_picture() -> None:
    found = inspect(encode(grey(np.full((300, 400), 51)), "png"))
    assert (found.brightness, found.contrast) == (pytest.approx(0.2), 0)
    assert (found.sharpness, found.entropy, found.pdq_quality) == (0, 0, 0)


def test_two_halves() -> None:
    values = np.zeros((100, 200))
    values[:, 100:] = 255
    found = inspect(encode(grey(values), "png"))
    assert (found.brightness, found.contrast, found.entropy) == (0.5, 0.5, 1)
    # Each row has one +255 and one -255 beside the edge, among 200 pixels.
    assert found.sharpness == pytest.approx(2 * 255**2 / 200)


def test_checkerboard_of_single_pixels_is_as_sharp_as_can_be() -> None:
    found = inspect(encode(grey(np.indices((256, 256)).sum(0) % 2 * 255), "bmp"))
    assert found.sharpness == pytest.approx((4 * 255) ** 2)
    assert found.entropy == 1


def test_gradient_has_all_eight_bits() -> None:
    found = inspect(encode(grey(np.tile(np.arange(256), (64, 1))), "png"))
    assert found.entropy == 8
    assert found.brightness == 0.5
    assert found.contrast == pytest.approx(np.arange(256).std() / 255)
    assert found.sharpness < 1


def test_noise() -> None:
    values = np.random.default_rng(1).integers(0, 256, (400, 500))
    found = inspect(encode(grey(values), "png"))
    assert found.brightness == pytest.approx(values.mean() / 255)
    assert found.contrast == pytest.approx(values.std() / 255)
    assert found.entropy > 7.99
    # Variance of a sum of independent pixels: 4^2 + 4 * 1^2 times that of one.
    assert found.sharpness == pytest.approx(20 * values.var(), rel=0.02)


def test_large_pictures_are_measured_small() -> None:
    # Stripes of 2 px are gone at a quarter of the size, in a JPEG scaled while decoding as in a PNG.
    values = np.tile(np.repeat([0, 255], 2), (2048, 512))
    for variant in ("png", "jpeg"):
        found = inspect(encode(grey(values), variant, **({"quality": 95} if variant == "jpeg" else {})))
        assert (found.width, found.height) == (2048, 2048)
        assert found.brightness == pytest.approx(0.5, abs=0.01)
        assert found.contrast < 0.02
        assert found.sharpness < 20


def test_blurring_lowers_sharpness() -> None:
    for name in ("china", "hopper", "coffee"):
        sharp = inspect(encode(photo(name), "jpeg", quality=90)).sharpness
        blurred = inspect(encode(photo(name).filter(ImageFilter.GaussianBlur(4)), "jpeg", quality=90)).sharpness
        assert blurred < 100 < sharp


# ---------------------------------------------------------------------------------------------------- the PDQ hash


def test_pdq_is_close_to_the_reference_of_the_full_picture() -> None:
    distances: list[int] = []
    for name in PHOTOS:
        whole = photo(name)
        width, height = whole.size
        for box in ((0, 0, width, height), (0, 0, width * 2 // 3, height), (width // 4, height // 4, width, height)):
            cut = whole.crop(box)
            vector, quality = pdqhash.compute(np.asarray(cut))
            found = inspect(encode(cut, "bmp"))
            distances.append(int((bits(found.pdq) != vector).sum()))
            assert abs(found.pdq_quality - quality) <= 3
    assert np.median(distances) <= 4
    assert max(distances) < 31


def test_pdq_survives_copies_and_tells_photographs_apart() -> None:
    originals = {name: inspect(encode(photo(name), "bmp")) for name in PHOTOS}
    for name, original in originals.items():
        image = photo(name)
        half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
        for copy in (encode(image, "jpeg", quality=50), encode(half, "jpeg"), encode(image, "webp", quality=60)):
            assert distance(inspect(copy), original) < 31, name
    names = list(PHOTOS)
    for at, name in enumerate(names):
        for other in names[at + 1 :]:
            assert distance(originals[name], originals[other]) > 80, (name, other)


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3), (4, 4), (5, 5), (7, 600), (64, 64)])
def test_tiny_pictures_do_not_break_the_hash(size: tuple[int, int]) -> None:
    for variant in ("png", "jpeg", "gif"):
        found = inspect(encode(photo("china").resize(size), variant))
        assert (found.width, found.height) == size
        assert len(found.pdq) == 32
        if min(size) < 5:
            assert (found.pdq, found.pdq_quality) == (bytes(32), 0)


# ---------------------------------------------------------------------------------------------------- orientation

TURNS: dict[int, Image.Transpose | None] = {  # what undoes each orientation
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("variant", ["jpeg", "png", "webp", "tiff", "tiff lzw", "avif"])
def test_all_orientations_are_one_picture(variant: str) -> None:
    upright = inspect(encode(photo("chelsea"), "png"))
    for orientation, turn in TURNS.items():
        stored = photo("chelsea") if turn is None else photo("chelsea").transpose(turn)
        exif = Image.Exif()
        exif[0x0112] = orientation
        found = inspect(encode(stored, variant, exif=exif))
        assert found.orientation == orientation
        assert (found.width, found.height) == stored.size
        assert distance(found, upright) < 20, orientation


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"MM",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"junk" * 50,
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0",
    ],
)
def test_malformed_exif_is_no_reason_to_refuse(exif: bytes) -> None:
    for variant in ("jpeg", "png", "webp"):
        assert inspect(encode(photo("chelsea"), variant, exif=b"Exif\0\0" + exif)).orientation == 1


# ---------------------------------------------------------------------------------------------------- pixel layouts


def test_transparent_pixels_are_white() -> None:
    rgba = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    palette = Image.new("P", (64, 64), 3)
    palette.putpalette(bytes(768))
    for data in (
        encode(rgba, "png"),
        encode(rgba, "webp", lossless=True),
        encode(rgba, "tiff"),
        encode(rgba.convert("LA"), "png"),
        encode(palette, "png", transparency=bytes([255, 255, 255, 0])),
        encode(palette, "gif", transparency=3),
        encode(Image.new("RGB", (64, 64), (9, 8, 7)), "png", transparency=(9, 8, 7)),
    ):
        assert inspect(data).brightness == 1
    assert inspect(encode(Image.new("RGBA", (64, 64), (0, 0, 0, 127)), "png")).brightness == pytest.approx(
        0.5, abs=0.01
    )


@pytest.mark.parametrize("variant", ["png", "tiff", "tiff lzw"])
def test_sixteen_bits_and_one_bit(variant: str) -> None:
    ramp = np.tile(np.linspace(0, 65535, 300), (200, 1)).astype(np.uint16)
    assert inspect(encode(Image.fromarray(ramp), variant)).brightness == pytest.approx(0.5, abs=0.01)
    assert inspect(encode(Image.new("1", (50, 50), 1), variant)).brightness == 1


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 1e9])
def test_float_tiff_finds_its_white(white: float) -> None:
    ramp = np.tile(np.linspace(0, white, 300), (200, 1)).astype(np.float32)
    ramp[0, 0] = np.nan
    assert inspect(encode(Image.fromarray(ramp), "tiff")).brightness == pytest.approx(0.5, abs=0.01)


def test_cmyk() -> None:
    reference = inspect(encode(photo("flower"), "png"))
    for variant in ("jpeg", "tiff", "tiff lzw"):
        found = inspect(encode(photo("flower").convert("CMYK"), variant))
        assert distance(found, reference) < 31
        assert found.brightness == pytest.approx(reference.brightness, abs=0.02)


def test_multi_picture_object_counts_as_jpeg() -> None:
    buffer = io.BytesIO()
    photo("china").save(buffer, "MPO", save_all=True, append_images=[photo("flower").copy()])
    found = inspect(buffer.getvalue())
    assert (found.format, found.animated) == ("jpeg", False)
    assert distance(found, inspect(encode(photo("china"), "png"))) < 31


@pytest.mark.parametrize("variant", ["gif", "webp", "png", "avif"])
def test_animations_are_judged_by_their_first_frame(variant: str) -> None:
    first = photo("chelsea").resize((150, 100))
    frames = [photo(name).resize((150, 100)) for name in ("china", "flower")]
    found = inspect(encode(first, variant, save_all=True, append_images=frames, duration=50))
    assert found.animated
    assert distance(found, inspect(encode(first, "png"))) < 31


def test_pages_of_a_tiff_are_no_animation() -> None:
    assert not inspect(encode(photo("china"), "tiff", save_all=True, append_images=[photo("flower").copy()])).animated


def test_ten_thousand_frames_cost_no_more_than_one() -> None:
    one = encode(Image.new("P", (200, 200)), "gif")
    start = one.index(b",", 13)
    data = one[:-1] + one[start:-1] * 9_999 + b";"
    began = time.thread_time()
    assert inspect(data).animated
    assert time.thread_time() - began < 0.02


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


def test_threads_agree() -> None:
    datas = [sample(variant) for variant in VARIANTS] * 8
    alone = [inspect(data) for data in datas]
    with ThreadPoolExecutor(4) as pool:
        run: Callable[[bytes], Inspection] = inspect
        assert list(pool.map(run, datas)) == alone
