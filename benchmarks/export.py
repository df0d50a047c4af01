"""Packing pictures as they are, beside `cp -r`, zipfile and webdataset; and resized, beside img2dataset."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import tarfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import cv2
import webdataset
from isal.isal_zlib import crc32  # pyright: ignore[reportUnknownVariableType]
from PIL import Image

from benchmarks import peers
from benchmarks.contestants import DECODERS, Run
from benchmarks.report import Result, versions
from benchmarks.turns import Contestant, Turns, take_turns
from benchmarks.web import pictures, scratch, write_list
from gleanset.decoders import AHEAD, Decoders
from gleanset.export import About, Entry, Options, Packed, Resize, export, form_of
from gleanset.store import Store, blob_key
from tests.nginx import Nginx

SIZE = 256
ZIP, TAR, RESIZED = "gleanset, zip", "gleanset, tar", f"gleanset, webdataset, resized to {SIZE}"
COPY, SYNCED = "cp -r", "cp -r, and sync of the copy"
ZIPFILE, TARFILE, TARWRITER = "Python's zipfile, stored", "Python's tarfile", "webdataset.TarWriter"
IMG2DATASET = f"img2dataset, files, resized to {SIZE}"
ABOUT = About(name="Pictures", keywords={}, rules={}, failures={}, invalid={}, created=datetime(2026, 1, 1, tzinfo=UTC))


def measure(*, quick: bool) -> Result:
    count, repetitions = (300, 1) if quick else (10_000, 5)
    files = pictures(500 if quick else 5_000)
    cv2.setNumThreads(1)  # as the worker has it
    peers.programs()
    with scratch() as shared, Nginx(files[0].parent) as web:
        store, entries = _stored(shared, files, count)
        blobs = _in_one_folder([shared / "blobs" / entry.key for entry in entries], shared / "originals")
        urls = shared / "list.txt"
        write_list(urls, web.base_url, [path.name for path in files], count)
        resize = Options(resize=Resize(mode="shorter", width=SIZE, height=SIZE))
        contestants: dict[str, Contestant] = {
            ZIP: partial(_packed, "zip", store, entries, Options()),
            TAR: partial(_packed, "tar", store, entries, Options()),
            COPY: partial(_timed, count, partial(_copied, shared / "originals")),
            SYNCED: partial(_timed, count, partial(_copied_and_synced, shared / "originals")),
            ZIPFILE: partial(_timed, count, partial(_zipped, blobs)),
            TARFILE: partial(_timed, count, partial(_tarred, blobs)),
            TARWRITER: partial(_timed, count, partial(_written, blobs)),
            RESIZED: partial(_packed, "webdataset", store, entries, resize),
            IMG2DATASET: partial(
                peers.run_img2dataset,
                urls=urls,
                count=count,
                options={"image_size": SIZE, "resize_mode": "keep_ratio"},
            ),
        }
        turns = take_turns(contestants, repetitions)
    return Result(
        title=f"Packing {count:,} JPEGs of {sum(path.stat().st_size for path in files) / len(files) / 1000:.0f} kB",
        columns=("what", "images/s (median)", "spread", "zip is faster by", "tar is faster by", "resized is faster by"),
        rows=[(name, *turns.cells(name, own=True), *_ratios(turns, name)) for name in turns.runs],
        figures={"images": count, "images_per_second": turns.figures()["own_clock"]},
        notes=(
            f"{repetitions} repetitions, taking turns; own clocks. All but img2dataset read from a local disk; it gets "
            "the pictures from nginx on loopback, since it only takes addresses that a web server answers.",
            "Gleanset's decoders run already, as a worker's do behind its first crawl; nor does img2dataset's clock "
            "have its start.",
            "Gleanset checks every image against the CRC-32 that was taken along with its hash, and writes the papers "
            "too. Only that one waits for the disk which says so; a worker does when it has packed.",
        ),
        versions=versions("webdataset", "simplejpeg", "opencv-python-headless") | peers.versions("img2dataset"),
    )


def _ratios(turns: Turns, name: str) -> list[str]:
    """How much faster each of ours is, where they do the same."""
    sides = {ZIP: {COPY, SYNCED, ZIPFILE}, TAR: {COPY, SYNCED, TARFILE, TARWRITER}, RESIZED: {IMG2DATASET}}
    return [f"{turns.ratio(ours, name, own=True):.2f}" if name in others else "" for ours, others in sides.items()]


def _stored(shared: Path, files: list[Path], count: int) -> tuple[Store, list[Entry]]:
    """`count` pictures in a store, each with bytes of its own."""
    store = Store(str(shared / "blobs"))
    entries: list[Entry] = []
    for n in range(count):
        # Behind the end of a JPEG anything may stand: so the same picture is another file.
        data = files[n % len(files)].read_bytes() + (b"" if n < len(files) else str(n).encode())
        sha256 = hashlib.sha256(data).hexdigest()
        with Image.open(files[n % len(files)]) as picture:
            width, height = picture.size
        store.put_now(blob_key(sha256, "jpeg"), data)
        entries.append(
            Entry(
                position=n + 1,
                key=blob_key(sha256, "jpeg"),
                sha256=sha256,
                label="picture",
                format="jpeg",
                width=width,
                height=height,
                file_size=len(data),
                crc32=crc32(data),
                original_url=f"https://example.org/{n}.jpg",
            )
        )
    return store, entries


def _packed(format_: str, store: Store, entries: list[Entry], options: Options, folder: Path) -> Run:
    """Through the engine, as the worker does."""

    async def behind(position: int) -> AsyncIterator[Entry]:
        for entry in entries[position:]:
            yield entry

    async def silent(_: int) -> None:
        pass

    container = "folder" if format_ == "webdataset" else None
    form = form_of(format_, container)

    async def packed() -> tuple[Packed, float]:
        with closing(Decoders(DECODERS)) as decoders:
            await asyncio.gather(*(decoders.run(len, b"") for _ in range(AHEAD * DECODERS)))  # until they all run
            start = time.perf_counter()
            made = await export(form, behind, store, folder / "dataset", ABOUT, silent, options, decoders)
            return made, time.perf_counter() - start

    made, seconds = asyncio.run(packed())
    if made.images != len(entries):
        raise SystemExit(f"{made.images} of {len(entries)} images were packed.")
    return Run(made.images, seconds)


def _timed(count: int, work: Callable[[Path], None], folder: Path) -> Run:
    start = time.perf_counter()
    work(folder / "out")
    return Run(count, time.perf_counter() - start)


def _in_one_folder(blobs: list[Path], folder: Path) -> list[Path]:
    """The same files under other names."""
    folder.mkdir()
    for blob in blobs:
        (folder / blob.name).hardlink_to(blob)
    return [folder / blob.name for blob in blobs]


def _copied(folder: Path, out: Path) -> None:
    subprocess.run(["cp", "-r", str(folder), str(out)], check=True)


def _copied_and_synced(folder: Path, out: Path) -> None:
    _copied(folder, out)
    subprocess.run(["sync", "--file-system", str(out)], check=True)


def _zipped(blobs: list[Path], out: Path) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in blobs:
            archive.write(path, path.name)


def _tarred(blobs: list[Path], out: Path) -> None:
    with tarfile.open(out, "w") as archive:
        for path in blobs:
            archive.add(path, path.name)


def _written(blobs: list[Path], out: Path) -> None:
    with webdataset.TarWriter(str(out)) as writer:
        for path in blobs:
            writer.write({"__key__": path.stem, "jpg": path.read_bytes()})
