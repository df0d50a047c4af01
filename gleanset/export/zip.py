"""A dataset as one ZIP file, streamed: images are read, checked and written one after the other.

Images are stored, not deflated: they are compressed already. Times are fixed, so the same entries give the same bytes.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import tempfile
import zipfile
from collections import deque
from collections.abc import AsyncIterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO, BinaryIO

from gleanset.errors import ExportError
from gleanset.export.base import METADATA_FIELDS, About, Entry, Packed, Progress, file_name, metadata_row
from gleanset.export.card import Tally, dataset_card
from gleanset.store import Store

_EPOCH = (1980, 1, 1, 0, 0, 0)
_AHEAD = 8
"""Blobs read ahead of the one being written."""


async def pack_zip(
    entries: AsyncIterator[Entry], store: Store, target: Path, about: About, progress: Progress
) -> Packed:
    """Write the entries to `target`, which must not exist.

    Raises StoreError for a blob that is gone, ExportError for one whose bytes are not those of its name, when there is
    nothing to pack, or when the file cannot be written; whatever is raised, no half file is left behind.
    """
    try:
        with target.open("xb") as file, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            packed = await _Writer(file, Path(scratch)).run(entries, store, about, progress)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ExportError(f"The export cannot be written to {target.parent}: {error.strerror or error}.") from error
        raise
    return Packed(packed, target.stat().st_size)


class _Writer:
    """The open archive, and its papers, which grow on disk while the images stream by."""

    def __init__(self, file: IO[bytes], scratch: Path) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._jsonl = (scratch / "metadata.jsonl").open("w+", encoding="utf-8", newline="\n")
        self._csv_file = (scratch / "metadata.csv").open("w+", encoding="utf-8", newline="")
        self._csv = csv.DictWriter(self._csv_file, [*METADATA_FIELDS, "metadata"], lineterminator="\n")
        self._csv.writeheader()
        self._manifest = (scratch / "manifest").open("w+", encoding="utf-8", newline="\n")
        self._tally = Tally()
        self._written: set[str] = set()

    async def run(self, entries: AsyncIterator[Entry], store: Store, about: About, progress: Progress) -> int:
        waiting: deque[tuple[Entry, asyncio.Task[bytes]]] = deque()
        try:
            async for entry in entries:
                waiting.append((entry, asyncio.create_task(store.get(entry.key))))
                if len(waiting) > _AHEAD:
                    await self._next(waiting, progress)
            while waiting:
                await self._next(waiting, progress)
        finally:
            for _, task in waiting:
                task.cancel()
            await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
        if not self._tally.images:
            raise ExportError("There is no valid image to export. `gleanset jobs show` tells what was refused and why.")
        await asyncio.to_thread(self._close, about)
        return self._tally.images

    async def _next(self, waiting: deque[tuple[Entry, asyncio.Task[bytes]]], progress: Progress) -> None:
        entry, task = waiting.popleft()
        await asyncio.to_thread(self._add, entry, await task)
        if self._tally.images % 100 == 0:
            await progress(self._tally.images)

    def _add(self, entry: Entry, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ExportError(f"The stored image {entry.key} is damaged. `gleanset db doctor` tells what to do.")
        name = file_name(entry)
        if name not in self._written:  # the same bytes twice under one label, when duplicates are kept
            self._written.add(name)
            self._zip.writestr(_info(name), data)
            self._manifest.write(f"{entry.sha256}  {name}\n")
        row = metadata_row(entry, name)
        self._jsonl.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._csv.writerow(row | {"metadata": json.dumps(row["metadata"], ensure_ascii=False)})
        self._tally.add(entry)

    def _close(self, about: About) -> None:
        self._paper("README.md", BytesIO(dataset_card(about, self._tally).encode()))
        self._paper("metadata.jsonl", _reopened(self._jsonl))
        self._paper("metadata.csv", _reopened(self._csv_file))
        with self._zip, self._zip.open(_info("MANIFEST.sha256"), "w", force_zip64=True) as inside:
            manifest = _reopened(self._manifest)
            while block := manifest.read(1 << 20):
                inside.write(block)

    def _paper(self, name: str, content: IO[bytes]) -> None:
        digest = hashlib.sha256()
        with self._zip.open(_info(name), "w", force_zip64=True) as inside:
            while block := content.read(1 << 20):
                digest.update(block)
                inside.write(block)
        self._manifest.write(f"{digest.hexdigest()}  {name}\n")


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    info.create_system = 3  # Unix, wherever it is made
    return info


def _reopened(file: TextIOWrapper) -> BinaryIO:
    """The text written so far, from its beginning, as bytes."""
    file.flush()
    file.buffer.seek(0)
    return file.buffer
