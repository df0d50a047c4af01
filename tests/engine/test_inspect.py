"""What `inspect` says of sound files: measures, hashes, orientation, every layout of pixels."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pdqhash
import pytest
from PIL import Image, ImageFilter

from gleanset.inspect import inspect, pdq_of_points
from gleanset.rules import GREYSCALE
from gleanset.types import Inspection
from tests.engine.pictures import PHOTOS, VARIANTS, encode, photo, sample


def grey(values: object) -> Image.Image:
    return Image.fromarray(np.asarray(values, np.uint8))


def bits(pdq: bytes) -> np.ndarray:
    return np.unpackbits(np.frombuffer(pdq, np.uint8))


def distance(one: Inspection, other: Inspection) -> int:
    return int((bits(one.pdq) != bits(other.pdq)).sum())


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
    assert found.colour == pytest.approx(reference.colour, rel=0.1)  # GIF has few colours, JPEG halves them
    assert (found.alpha, found.border) == (False, 0)
    assert found.uniformity == pytest.approx(reference.uniformity, abs=0.01)


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
    values = np.random.default_rng(1).integers(0, 256, (200, 250))
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


# ------------------------------------------------------------------------------- colour, one tone, bars, transparency


def hasler_suesstrunk(image: Image.Image) -> float:
    """The measure as its authors write it, of every pixel."""
    r, g, b = np.asarray(image.convert("RGB"), np.float64).transpose(2, 0, 1)
    rg, yb = r - g, 0.5 * (r + g) - b
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


@pytest.mark.parametrize("variant", ["jpeg", "png", "webp", "tiff lzw"])
def test_colour_is_that_of_hasler_and_suesstrunk(variant: str) -> None:
    for name in PHOTOS:
        image = photo(name)
        image = image.resize((200, 200 * image.height // image.width))  # small enough to be measured as it is
        found = inspect(encode(image, variant, **({"quality": 95} if variant == "jpeg" else {}))).colour
        exact = variant in ("png", "tiff lzw")  # the others keep colour at half the size
        share, most = (0.06, 2) if exact else (0.12, 4)
        assert found == pytest.approx(hasler_suesstrunk(image), rel=share, abs=most), name


@pytest.mark.parametrize("variant", [*VARIANTS, "jpeg gray"])
def test_grey_is_grey_however_it_is_stored(variant: str) -> None:
    for name in ("china", "chelsea", "coffee"):
        grey_one = photo(name).convert("L")
        stored = grey_one if variant == "jpeg gray" else grey_one.convert("RGB")
        assert inspect(encode(stored, variant)).colour < GREYSCALE
        assert inspect(encode(photo(name), variant.removesuffix(" gray"))).colour > 5 * GREYSCALE


def test_sepia_is_a_colour() -> None:
    grey_one = np.asarray(photo("china").convert("L"), np.float32)[:, :, None]
    sepia = Image.fromarray(np.clip(grey_one * (1.0, 0.85, 0.65), 0, 255).astype(np.uint8))
    assert inspect(encode(sepia, "jpeg")).colour > 3 * GREYSCALE


def test_uniformity_is_the_share_of_the_commonest_tones() -> None:
    assert inspect(encode(grey(np.full((50, 60), 200)), "png")).uniformity == 1
    assert inspect(encode(grey(np.tile(np.arange(256), (64, 1))), "png")).uniformity == 16 / 256
    page = np.full((120, 200), 250)
    page[40:50, 20:120] = 10
    assert inspect(encode(grey(page), "png")).uniformity == 1 - 1000 / 24_000
    assert all(inspect(encode(photo(name), "jpeg")).uniformity < 0.8 for name in PHOTOS if name != "hubble")


def framed(image: Image.Image, left: int, top: int, right: int, bottom: int, tone: int = 0) -> Image.Image:
    made = Image.new("RGB", (left + image.width + right, top + image.height + bottom), (tone,) * 3)
    made.paste(image, (left, top))
    return made


@pytest.mark.parametrize("variant", ["png", "jpeg", "webp"])
@pytest.mark.parametrize(
    ("bars", "share"),
    [
        ((0, 50, 0, 50), 0.25),  # film in a television picture
        ((50, 0, 50, 0), 0.2),
        ((50, 50, 50, 50), 1 - 0.75 * 0.8),
        ((0, 50, 0, 30), 60 / 380),  # as wide as the narrower one
        ((0, 50, 0, 0), 0),
        ((0, 0, 0, 0), 0),
    ],
)
def test_bars(variant: str, bars: tuple[int, int, int, int], share: float) -> None:
    image = photo("china").crop((100, 50, 500, 350))
    for tone in (0, 255):
        found = inspect(encode(framed(image, *bars, tone=tone), variant)).border
        assert found == pytest.approx(share, abs=0.03)


def test_what_is_no_bar() -> None:
    values = np.asarray(photo("china").convert("L").resize((300, 200))).copy()
    values[:40], values[-40:] = 0, 255
    assert inspect(encode(grey(values), "png")).border == 0
    assert inspect(encode(grey(np.full((30, 40), 7)), "png")).border == 1
    assert all(inspect(encode(photo(name), "jpeg")).border < 0.02 for name in PHOTOS)


def test_transparency_is_told_and_measured_on_white() -> None:
    image = photo("china").convert("RGBA").resize((300, 200))
    opaque = inspect(encode(image, "png"))
    assert not opaque.alpha
    image.putpixel((299, 0), (0, 0, 0, 254))
    for variant in ("png", "webp lossless", "tiff lzw"):
        assert inspect(encode(image, variant)).alpha, variant
    hole = Image.new("RGBA", (200, 100), (0, 0, 0, 255))
    hole.paste((0, 0, 0, 0), (0, 0, 100, 100))
    found = inspect(encode(hole, "png"))
    assert (found.alpha, found.brightness, found.colour) == (True, 0.5, 0)
    half = inspect(encode(Image.new("RGBA", (900, 600), (255, 0, 0, 128)), "png"))
    assert half.brightness == pytest.approx(0.299 * 128 / 255 + 127 / 255, abs=0.01)
    assert half.colour > 5 * GREYSCALE


def test_a_transparent_colour_that_no_pixel_has_is_no_transparency() -> None:
    image = Image.fromarray(np.tile(np.arange(100, dtype=np.uint8), (60, 1))).convert("P")
    assert not inspect(encode(image, "gif", transparency=200)).alpha
    assert inspect(encode(image, "gif", transparency=50)).alpha


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
            assert abs(found.pdq_quality - quality) <= 10
    assert np.median(distances) <= 8
    assert max(distances) < 31


def test_pdq_of_64_points_is_the_reference_bit_for_bit() -> None:
    random = np.random.default_rng(7)
    for side in range(2, 65):
        coarse = random.integers(0, 256, (side, side), dtype=np.uint8)
        points = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)
        vector, quality = pdqhash.compute(cv2.cvtColor(points, cv2.COLOR_GRAY2RGB))
        hash_, found = pdq_of_points(points)
        assert bits(hash_).tolist() == vector.tolist()
        assert found == quality


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


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])  # of simplejpeg and of Pillow
@pytest.mark.parametrize("fill", [1, 2, 3, 1_000])
def test_fill_bytes_before_the_exif(mode: str, fill: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(photo("chelsea").resize((90, 60)).convert(mode), "jpeg", exif=exif.tobytes(), comment=b"first")
    at = data.index(b"\xff\xe1")
    assert inspect(data).orientation == 6
    padded = data[:2] + b"\xff" * fill + data[2:at] + b"\xff" * fill + data[at:]
    assert inspect(padded).orientation == 6
    assert inspect(padded).pdq == inspect(data).pdq


def test_a_progressive_jpeg_may_have_a_film_behind_it() -> None:
    data = sample("jpeg progressive")
    found = inspect(data + b"\xff\xda\0\x0c rubbish" * 1_000)
    assert (found.orientation, found.pdq) == (1, inspect(data).pdq)


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


def test_threads_agree() -> None:
    datas = [sample(variant) for variant in VARIANTS] * 8
    alone = [inspect(data) for data in datas]
    with ThreadPoolExecutor(4) as pool:
        run: Callable[[bytes], Inspection] = inspect
        assert list(pool.map(run, datas)) == alone
