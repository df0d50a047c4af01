"""Images on their way from the store to the layout: copied, read, or made smaller."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from gleanset.copying import Copied, Copies, Part, Smaller, Stored, damaged
from gleanset.decoders import DECODING, Decoders
from gleanset.errors import ExportError, ImageRefused
from gleanset.export.base import Entry
from gleanset.export.layout import Layout
from gleanset.store import Store
from gleanset.types import Resize

Batch = list[tuple[Entry, Part]]
"""Entries with what is to be packed for them, which a smaller copy's tells of."""

_PROCESSES = 2
_THREADS, _REMOTE_THREADS = 2, 8
_LARGE = 12_000_000
"""Pixels; of larger pictures one is decoded at a time, so that memory is that of the largest alone."""
_AT_ONCE = 32
"""Pictures that a process makes smaller in one go."""


class Images:
    """For one export. Where other processes can read the store, no bytes of the images go through this one, which has
    Python's lock to share. Close it when the export is through, or has failed."""

    def __init__(self, store: Store, layout: Layout, resize: Resize | None, decoders: Decoders | None) -> None:
        self._store = store
        self._folder = None if store.folder is None else str(store.folder)
        self._processes = decoders or Decoders(_PROCESSES, prepare=DECODING if resize else None)
        self._are_own = decoders is None
        self._threads = ThreadPoolExecutor(_REMOTE_THREADS if self._folder is None else _THREADS)
        self._large = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._are_copied = False
        if resize is not None:
            self.ready = partial(self._smaller, resize)
        elif not layout.packs_images:
            self.ready = self._nothing
        elif self._folder is None or layout.wants_bytes:
            self.ready = self._bytes
        else:
            self.ready, self._are_copied = partial(self._stored, self._folder), True
        if resize is not None or self._are_copied:
            self._processes.start()  # while the first entries are read

    def copy(self, copies: Copies) -> Future[None]:
        """Have them made by one of the processes; for a thread beside the loop."""
        return asyncio.run_coroutine_threadsafe(self._run(copies), self._loop)

    def size_of(self, entry: Entry) -> int:
        """Bytes of this process that the image takes at most, once it is ready."""
        return 0 if self._are_copied else entry.file_size

    async def _run(self, copies: Copies) -> None:
        try:
            await self._processes.run(copies, b"")
        except ImageRefused as error:
            raise ExportError(f"Images cannot be copied: {error.detail}") from error

    def close(self) -> None:
        """End threads and processes of its own."""
        if self._are_own:
            self._processes.close()
        self._threads.shutdown(cancel_futures=True)

    async def _nothing(self, entries: Sequence[Entry]) -> Batch:
        """For a table: what it tells of the images is known, and none of their bytes go out, so none need checking."""
        return [(entry, b"") for entry in entries]

    async def _stored(self, folder: str, entries: Sequence[Entry]) -> Batch:
        """They are read when they are copied."""
        return [(entry, _stored(folder, entry)) for entry in entries]

    async def _bytes(self, entries: Sequence[Entry]) -> Batch:
        return list(await self._loop.run_in_executor(self._threads, self._read, entries))

    def _read(self, entries: Sequence[Entry]) -> list[tuple[Entry, bytes]]:
        return [(entry, self._read_one(entry)) for entry in entries]

    def _read_one(self, entry: Entry) -> bytes:
        if self._folder is not None:
            return _stored(self._folder, entry).bytes()
        data = self._store.get_now(entry.key)
        if hashlib.sha256(data).hexdigest() != entry.sha256:  # what another machine sends is held to the whole of it
            raise damaged(entry.key)
        return data

    async def _smaller(self, resize: Resize, entries: Sequence[Entry]) -> Batch:
        parts = [entries[start : start + _AT_ONCE] for start in range(0, len(entries), _AT_ONCE)]
        if any(entry.width * entry.height > _LARGE for entry in entries):
            async with self._large:
                made = [await self._made(resize, part) for part in parts]
        else:
            made = await asyncio.gather(*(self._made(resize, part) for part in parts))
        return [one for part in made for one in part]

    async def _made(self, resize: Resize, entries: Sequence[Entry]) -> Batch:
        try:
            if self._folder is not None:
                stored = [_stored(self._folder, entry) for entry in entries]
                copies = await self._processes.run(Smaller(resize, _sizes(entries), stored), b"")
            else:
                copies = list[Copied]()
                for entry, data in await self._loop.run_in_executor(self._threads, self._read, entries):
                    copies += await self._processes.run(Smaller(resize, _sizes([entry])), data)
        except ImageRefused as error:
            raise ExportError(f"Images cannot be resized: {error.detail}") from error
        return [entry_of(entry, copy, resize) for entry, copy in zip(entries, copies, strict=True)]


def _sizes(entries: Sequence[Entry]) -> list[tuple[str, int, int]]:
    return [(entry.key, entry.width, entry.height) for entry in entries]


def entry_of(entry: Entry, copied: Copied, resize: Resize) -> tuple[Entry, bytes]:
    """The entry of the copy, with the facts of the original in its metadata."""
    copy, sha256, width, height = copied
    facts = {name: getattr(entry, name) for name in ("sha256", "format", "width", "height", "file_size")}
    described = replace(
        entry,
        sha256=sha256,
        format=resize.format,
        width=width,
        height=height,
        file_size=len(copy),
        crc32=None,
        original=entry.original or facts,  # what was resized before tells of its own original
    )
    return described, copy


def _stored(folder: str, entry: Entry) -> Stored:
    return Stored(folder, entry.key, entry.file_size, entry.sha256, entry.crc32)
