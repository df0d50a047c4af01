"""What a process that divides or packs an export has in memory at most: interpreter, libraries, images, all of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gleanset.export import FORMATS, Entry, Options, export, form_of
from gleanset.export.related import Traits
from gleanset.export.split import SplitPlan, assign
from gleanset.store import Store
from tests.engine.exporting import ABOUT, silent, stored

MOST = 300 - 80
"""Megabytes; the modules of the service, which are not loaded here, take the rest."""
IMAGES, PICTURES = 4_000, 8


def jpeg(number: int) -> bytes:
    """Some 60 kB."""
    noise = np.random.default_rng(number).integers(0, 256, (220, 220, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, "jpeg", quality=90)
    return file.getvalue()


def peak() -> int:
    """The most that this process ever had, in megabytes; what `getrusage` says has also what was before `exec`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1000


async def packed(format_: str, folder: Path, images: int) -> None:
    store = Store(str(folder / "blobs"))
    pictures = await stored(store, [jpeg(n) for n in range(PICTURES)], "jpeg")
    splits = ("train", "validation", "test")

    async def after(position: int) -> AsyncIterator[Entry]:
        for n in range(position, images):
            split = splits[3 * n // images]
            url = f"https://example.org/{n}.jpg"
            made = replace(pictures[n % PICTURES], position=n + 1, label=f"label {n % 50}", split=split)
            yield replace(made, original_url=url, title="A title " * 9, metadata={"tags": [str(n)] * 20})

    options = Options(rename="number")  # so that each is written, though there are few
    await export(form_of(format_), after, store, folder / "out", ABOUT, silent, options)


@pytest.mark.parametrize("format_", [name for name in FORMATS if name != "folder"])
def test_an_export_of_thousands_stays_small(format_: str, tmp_path: Path) -> None:
    assert ran(f"measured({format_!r}, {str(tmp_path)!r})") < MOST


def ran(call: str) -> int:
    """What a function of this module prints in a process of its own."""
    code = f"import tests.engine.test_export_memory as here; here.{call}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


def measured(format_: str, folder: str, images: int = IMAGES) -> None:
    """Print the peak of this process after it has made an export."""
    asyncio.run(packed(format_, Path(folder), images))
    print(peak())


def divided(images: int) -> None:
    """Print the peak of this process after it has divided so many."""
    rng = np.random.default_rng(1)
    series = rng.integers(1, 2**60, images // 8).astype(np.uint64).repeat(8)
    series[images // 2 :] = 0
    traits = Traits(
        sha256=rng.integers(0, 256, (images, 32), np.uint8),
        label=rng.integers(1, 200, images).astype(np.uint64),
        series=series,
        name=series,
        pdq=rng.integers(0, 256, (images, 32), np.uint8),
        pdq_quality=np.full(images, 100, np.uint8),
        measures=np.full((images, 3), 0.5, np.float32),
    )
    assign(traits, SplitPlan(shares={"train": 80, "validation": 10, "test": 10}))
    print(peak())


def test_a_split_stays_small() -> None:
    """A million takes below 300 MB when half of it takes a good half of that."""
    assert ran("divided(500_000)") < 230  # of 345 when it held all of it at once
