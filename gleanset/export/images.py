"""Images on their way from the store to the layout: copied, read, or made smaller."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
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
"""Pixels; of larger pictures the decoders of a worker have one at a time."""
_AT_ONCE, _PIECES = 8, 4
"""Pictures that a process makes smaller in one go, and how often that is asked for at once: others may want it too."""
_COPIED, _READ = 256, 64
"""Images in a batch: of those that are copied only names and sizes are at hand."""


class Images:
    """For one export. Where other processes can read the store, no bytes of the images go through this one, which has
    Python's lock to share. Close it when the export is through, or has failed."""

    def __init__(self, store: Store, layout: Layout, resize: Resize | None, decoders: Decoders | None) -> None:
        self._store = store
        self._folder = None if store.folder is None else str(store.folder)
        self._processes = decoders or Decoders(_PROCESSES, prepare=DECODING if resize else None)
        self._are_own = decoders is None
        self._threads = ThreadPoolExecutor(_REMOTE_THREADS if self._folder is None else _THREADS)
        self._pieces = asyncio.Semaphore(_PIECES)
        self._closed = False
        self._resize = resize
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

    @property
    def at_once(self) -> int:
        """Images that a batch should have at most."""
        return _COPIED if self._are_copied else _READ

    def size_of(self, entry: Entry) -> int:
        """Bytes of this process that the image takes, once it is ready; of a copy a guess on the high side."""
        if self._resize is not None:
            return max(entry.file_size, _pixels(entry, self._resize) * (3 if self._resize.format == "png" else 1))
        return 0 if self._are_copied else entry.file_size

    async def _run(self, copies: Copies) -> None:
        try:
            await self._processes.run(copies, b"")
        except ImageRefused as error:
            raise ExportError(f"Images cannot be copied: {error.detail}") from error

    def close(self) -> None:
        """End threads and processes of its own. A thread that reads ends behind the image in hand."""
        self._closed = True
        if self._are_own:
            self._processes.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _nothing(self, entries: Sequence[Entry]) -> Batch:
        """For a table: what it tells of the images is known, and none of their bytes go out, so none need checking."""
        return [(entry, b"") for entry in entries]

    async def _stored(self, folder: str, entries: Sequence[Entry]) -> Batch:
        """They are read when they are copied."""
        return [(entry, _stored(folder, entry)) for entry in entries]

    async def _bytes(self, entries: Sequence[Entry]) -> Batch:
        return list(await self._loop.run_in_executor(self._threads, self._read, entries))

    def _read(self, entries: Sequence[Entry]) -> list[tuple[Entry, bytes]]:
        return [(entry, self._read_one(entry)) for entry in entries if not self._closed]

    def _read_one(self, entry: Entry) -> bytes:
        if self._folder is not None:
            return _stored(self._folder, entry).bytes()
        data = self._store.get_now(entry.key)
        if hashlib.sha256(data).hexdigest() != entry.sha256:  # what another machine sends is held to the whole of it
            raise damaged(entry.key)
        return data

    async def _smaller(self, resize: Resize, entries: Sequence[Entry]) -> Batch:
        made = await asyncio.gather(*(self._piece(resize, piece) for piece in _pieces(entries)))
        return [one for piece in made for one in piece]

    async def _piece(self, resize: Resize, entries: Sequence[Entry]) -> Batch:
        async with self._pieces:
            if _is_large(entries[0]):
                async with self._processes.alone:
                    return await self._made(resize, entries)
            return await self._made(resize, entries)

    async def _made(self, resize: Resize, entries: Sequence[Entry]) -> Batch:
        try:
            copies = await self._copies(resize, entries)
        except ImageRefused as error:
            if len(entries) == 1:
                raise ExportError(f"The stored image {entries[0].key} cannot be resized. {error.detail}") from error
            return [one for entry in entries for one in await self._made(resize, [entry])]  # to know which it is
        return [entry_of(entry, copy, resize) for entry, copy in zip(entries, copies, strict=True)]

    async def _copies(self, resize: Resize, entries: Sequence[Entry]) -> list[Copied]:
        if self._folder is not None:
            stored = [_stored(self._folder, entry) for entry in entries]
            return await self._processes.run(Smaller(resize, _sizes(entries), stored), b"")
        copies = list[Copied]()
        for entry, data in await self._loop.run_in_executor(self._threads, self._read, entries):
            copies += await self._processes.run(Smaller(resize, _sizes([entry])), data)
        return copies


def _pieces(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """A few at a time, and large ones alone."""
    piece: list[Entry] = []
    for entry in entries:
        if piece and (len(piece) == _AT_ONCE or _is_large(entry) or _is_large(piece[0])):
            yield piece
            piece = []
        piece.append(entry)
    if piece:
        yield piece


def _is_large(entry: Entry) -> bool:
    return entry.width * entry.height > _LARGE


def _pixels(entry: Entry, resize: Resize) -> int:
    """Of the copy, about."""
    if resize.mode in ("crop", "pad"):
        return resize.width * resize.height
    side = (min if resize.mode == "shorter" else max)(entry.width, entry.height)
    scale = min(1.0, resize.width / max(side, 1))
    return int(entry.width * entry.height * scale * scale)


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
