"""Files that are built to keep a decoder busy: refused by name or measured like any other, and quickly either way."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import time
import warnings
import zipfile
from contextlib import suppress
from dataclasses import replace

import cv2
import numpy as np
import pytest

from gleanset.errors import ImageRefused
from gleanset.inspect import inspect
from tests.engine.hostile_pictures import (
    ACCEPTED,
    REFUSED,
    avif_grid,
    bmp_rle,
    gif_with,
    plain,
    script_gif,
    webp_frames,
    ycck_jpeg,
    zipped,
)
from tests.engine.pictures import encode, photo

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as outside of tests, where they are ignored

# Processor seconds that a picture may cost; it takes the machine's speed to tell more than "not minutes".
SECONDS = 3


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, reason = REFUSED[name]
    data = make()
    began = time.thread_time()
    with pytest.raises(ImageRefused) as caught:
        inspect(data)
    assert time.thread_time() - began < SECONDS
    assert caught.value.reason is reason
    if "65,535 squared" in name:
        assert len(data) <= (200 if "avif" not in name else 5_000)


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_as_if_it_were_sound(name: str) -> None:
    make, sound = (make() for make in ACCEPTED[name])
    began = time.thread_time()
    found = inspect(make)
    assert time.thread_time() - began < SECONDS
    reference = inspect(sound)
    assert found.file_size == len(make)
    assert replace(found, file_size=reference.file_size, sha256=reference.sha256) == reference


def grown() -> int:
    """Megabytes by which the most that this process ever had in memory grows while it inspects all of the files."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    files = [make() for make, _ in REFUSED.values()] + [make() for make, _ in ACCEPTED.values()]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in files:
        with suppress(ImageRefused):
            inspect(data)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


def test_memory_stays_small() -> None:
    """In a process of its own, whose high-water mark no other test has raised."""
    code = "from tests.engine.test_containers import grown; print(grown())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 80


def test_polyglots_are_what_they_pretend() -> None:
    assert zipfile.is_zipfile(io.BytesIO(plain("png") + zipped()))
    script = script_gif(b"alert(1)//")
    assert script.startswith(b"GIF89a/*")
    assert b"*/=1;alert(1)//" in script


def test_ycck() -> None:
    reference, found = inspect(encode(photo("flower"), "png")), inspect(ycck_jpeg(photo("flower")))
    assert (found.format, found.width, found.height) == ("jpeg", *photo("flower").size)
    assert found.brightness == pytest.approx(reference.brightness, abs=0.02)
    assert found.contrast == pytest.approx(reference.contrast, abs=0.02)
    differing = np.unpackbits(np.frombuffer(found.pdq, np.uint8) ^ np.frombuffer(reference.pdq, np.uint8))
    assert differing.sum() < 31


@pytest.mark.parametrize("variant", ["png", "tiff"])
def test_sixteen_bits_a_colour(variant: str) -> None:
    colours = np.asarray(photo("flower"))[:, :, ::-1]
    written, deep = cv2.imencode(f".{variant}", colours.astype(np.uint16) * 257)
    assert written
    found, reference = inspect(deep.tobytes()), inspect(encode(photo("flower"), "png"))
    assert found.file_size > 2 * photo("flower").width * photo("flower").height
    assert (found.brightness, found.pdq) == (reference.brightness, reference.pdq)


def test_ten_thousand_frames_of_webp_cost_no_more_than_one() -> None:
    data = webp_frames(10_000)
    began = time.thread_time()
    found = inspect(data)
    assert time.thread_time() - began < 0.5
    assert (found.animated, found.width, found.height, found.pdq) == (True, 64, 48, inspect(plain("webp")).pdq)


def test_a_sound_grid() -> None:
    found = inspect(avif_grid(20))
    assert (found.width, found.height) == (1280, 1280)
    assert (found.brightness, found.contrast) == (pytest.approx(124 / 255), 0)


def test_run_length_coded_pixels() -> None:
    found = inspect(bmp_rle(64, 48, (b"\x20\0\x20\xff\0\0" * 48) + b"\0\x01"))
    assert (found.format, found.width, found.height, found.brightness) == ("bmp", 64, 48, 0)


def test_a_large_sound_gif_is_walked_and_accepted() -> None:
    comment = b"!\xfe" + (b"\xff" + b"a" * 255) * 10_000 + b"\0"
    assert inspect(gif_with(comment)).pdq == inspect(gif_with(b"")).pdq
