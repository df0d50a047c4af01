"""What a process that makes an export has in memory at most, all of it: the interpreter, its libraries, the images."""

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
    code = f"from tests.engine.test_export_memory import measured; measured({format_!r}, {str(tmp_path)!r})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < MOST


def measured(format_: str, folder: str, images: int = IMAGES) -> None:
    """Print the peak of this process after it has made an export."""
    asyncio.run(packed(format_, Path(folder), images))
    print(peak())
