"""A dataset streamed into an archive: images are read, checked and written one after the other, the papers last."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO, ParamSpec, Protocol

from gleanset.errors import ExportError
from gleanset.export.base import METADATA_FIELDS, About, Entry, Packed, Progress, file_name, metadata_row
from gleanset.export.card import Tally, dataset_card
from gleanset.store import Store

P = ParamSpec("P")

_AHEAD_BLOBS = 8
_AHEAD_BYTES = 64 * 1024 * 1024
"""What may be read ahead of the image being written."""


class Archive(Protocol):
    """What a format of files in one file has to know. The same calls always write the same bytes."""

    def add(self, name: str, content: IO[bytes], size: int) -> None:
        """Write a file of `size` bytes; block by block when they are many."""
        ...


OpenArchive = Callable[[IO[bytes]], AbstractContextManager[Archive]]
"""Begins an archive in an empty file; leaving it writes its end."""


async def pack(
    open_archive: OpenArchive,
    entries: AsyncIterator[Entry],
    store: Store,
    target: Path,
    about: About,
    progress: Progress,
) -> Packed:
    """Write the entries to `target`, which must not exist.

    Raises StoreError for a blob that is gone, ExportError for one whose bytes are not those of its name, when there is
    nothing to pack, or when the file cannot be written; whatever is raised, no half file is left behind.
    """
    unfinished = False
    try:
        with target.open("xb") as file:
            unfinished = True  # and ours to remove: a file that was there before is not
            with (
                tempfile.TemporaryDirectory(dir=target.parent) as scratch,
                _Dataset(open_archive(file), Path(scratch)) as dataset,
            ):
                await _pack(entries, store, dataset, progress)
                if not dataset.tally.images:
                    raise ExportError("There is no valid image to export: `gleanset jobs show` tells why.")
                await _in_thread(dataset.finish, about)
            file.flush()
            packed = Packed(dataset.tally.images, os.fstat(file.fileno()).st_size)
        unfinished = False
    except OSError as error:
        raise ExportError(f"The export cannot be written to {target}: {error.strerror or error}.") from error
    finally:
        if unfinished:
            await asyncio.to_thread(target.unlink, missing_ok=True)
    return packed


async def _pack(entries: AsyncIterator[Entry], store: Store, dataset: _Dataset, progress: Progress) -> None:
    """Read blobs a little ahead while the one before is written."""
    waiting: deque[tuple[Entry, asyncio.Task[bytes]]] = deque()

    async def write_next() -> None:
        entry, task = waiting.popleft()
        await _in_thread(dataset.add, entry, await task)
        if dataset.tally.images % 100 == 0:
            await progress(dataset.tally.images)

    try:
        async for entry in entries:
            waiting.append((entry, asyncio.create_task(store.get(entry.key))))
            while len(waiting) > _AHEAD_BLOBS or sum(e.file_size for e, _ in waiting) > _AHEAD_BYTES:
                await write_next()
        while waiting:
            await write_next()
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


async def _in_thread(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Like `asyncio.to_thread`, but a cancelled caller waits: nobody may close the files that the thread writes."""
    thread = asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
    try:
        await asyncio.shield(thread)
    finally:
        await asyncio.wait([thread])


class _Dataset:
    """The open archive, and its papers, which grow on disk while the images stream by."""

    def __init__(self, archive: AbstractContextManager[Archive], scratch: Path) -> None:
        self.tally = Tally()
        self._stack = ExitStack()
        self._archive = self._stack.enter_context(archive)
        self._paths = {name: scratch / name for name in ("metadata.jsonl", "metadata.csv", "MANIFEST.sha256")}
        files = [
            self._stack.enter_context(path.open("w", encoding="utf-8", newline="")) for path in self._paths.values()
        ]
        self._jsonl, self._csv_file, self._manifest = files
        # Lines end in CRLF, csv's default: what occurs in the line end is quoted in text, so a bare CR breaks no row.
        self._csv = csv.DictWriter(self._csv_file, [*METADATA_FIELDS, "metadata"])
        self._csv.writeheader()
        self._written: set[str] = set()

    def __enter__(self) -> _Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, entry: Entry, data: bytes) -> None:
        """Write one image and its rows."""
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ExportError(f"The stored image {entry.key} is damaged. `gleanset db doctor` tells what to do.")
        name = file_name(entry)
        if name not in self._written:  # the same bytes twice under one label, when duplicates are kept
            self._written.add(name)
            self._archive.add(name, BytesIO(data), len(data))
            self._manifest.write(f"{entry.sha256}  {name}\n")
        row = metadata_row(entry, name)
        self._jsonl.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._csv.writerow(row | {"metadata": json.dumps(row["metadata"], ensure_ascii=False)})
        self.tally.add(entry)

    def finish(self, about: About) -> None:
        """Write the papers, the manifest last."""
        self._paper("README.md", BytesIO(dataset_card(about, self.tally).encode()))
        for name, file in (("metadata.jsonl", self._jsonl), ("metadata.csv", self._csv_file)):
            file.close()
            with self._paths[name].open("rb") as content:
                self._paper(name, content)
        self._manifest.close()
        manifest = self._paths["MANIFEST.sha256"]
        with manifest.open("rb") as content:
            self._archive.add(manifest.name, content, manifest.stat().st_size)

    def _paper(self, name: str, content: BufferedReader | BytesIO) -> None:
        self._manifest.write(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {name}\n")
        size = content.seek(0, os.SEEK_END)
        content.seek(0)
        self._archive.add(name, content, size)
