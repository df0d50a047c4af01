"""A dataset packed: images are read and checked by some threads, written in order by another, the papers come last."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec

from gleanset.errors import ExportError
from gleanset.export.base import About, Entries, Entry, Packed, Progress
from gleanset.export.container import Container, Whole
from gleanset.export.files import Files
from gleanset.export.layout import Layout, Options, Resize
from gleanset.export.paper import Setting, Written
from gleanset.export.papers import Papers
from gleanset.export.workspace import Workspace
from gleanset.store import Store

P = ParamSpec("P")
MakeContainer = Callable[[Workspace, str, dict[str, Any]], Container]
MakeLayout = Callable[[Files, Options], Layout]

_READERS, _REMOTE_READERS = 2, 8
_BATCH_IMAGES, _BATCH_BYTES = 64, 4 << 20
"""Images that go from thread to thread together."""
_AHEAD = 8
"""Batches that may be read and not written yet; one of more bytes counts as so many."""
_CHECKPOINT_IMAGES, _CHECKPOINT_BYTES = 2_000, 256 << 20
"""A killed export makes so much again at most; and between checkpoints the disk may take its time."""
_TELL = 0.5
"""Seconds between two words of progress."""

Read = list[tuple[Entry, bytes]]


@dataclass(frozen=True, slots=True)
class Form:
    """How a dataset is laid out, and what it is put into."""

    layout: MakeLayout
    container: MakeContainer


async def pack(
    form: Form,
    entries: Entries,
    store: Store,
    place: Workspace,
    about: About,
    progress: Progress,
    options: Options = Options(),
) -> Packed:
    """Pack the entries in the workspace, from its checkpoint on.

    Raises StoreError for a blob that is gone, ExportError for one whose bytes are not those of its name, when there is
    nothing to pack, or when a file cannot be written.
    """
    try:
        dataset: _Dataset = await _in_thread(_Dataset, form, place, about, options, store)
        readers = _READERS if store.is_local or options.resize else _REMOTE_READERS  # decoding takes room
        read = _reader(store, options.resize) if dataset.packs_images or options.resize else _unread
        await _pack(entries, read, dataset, progress, readers)
        if not dataset.images:
            raise ExportError(
                "There is no valid image to export, or none with the labels asked for: `gleanset jobs show` tells what"
                " is not valid, and why."
            )
        while await _in_thread(dataset.settle):
            await progress(dataset.images)
        whole, sha256 = await _in_thread(dataset.finish)
    except OSError as error:
        raise _unwritable(place.folder.parent, error) from error
    return Packed(whole.path, dataset.images, whole.size, sha256)


def _unwritable(path: Path, error: OSError) -> ExportError:
    return ExportError(f"The export cannot be written to {path}: {error.strerror or error}.")


async def export(
    form: Form,
    entries: Entries,
    store: Store,
    target: Path,
    about: About,
    progress: Progress,
    options: Options = Options(),
) -> Packed:
    """Pack the entries into `target`, which must not exist; whatever is raised, nothing is left behind."""
    try:
        place = await asyncio.to_thread(_beside, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        packed = await pack(form, entries, store, place, about, progress, options)
        packed.path.rename(target)
    finally:
        await asyncio.to_thread(place.remove)
    return replace(packed, path=target)


def _beside(target: Path) -> Workspace:
    if target.exists():
        raise FileExistsError(errno.EEXIST, "it exists already")
    return Workspace(target.with_name(f".{target.name}.part"))


class _Dataset:
    """Layout, papers and container of one export, and where they stand."""

    def __init__(self, form: Form, place: Workspace, about: About, options: Options, store: Store) -> None:
        state = place.state
        self._place = place
        files: dict[str, Any] = state.get("files", {"container": {}, "written": {}})
        container = form.container(place, "dataset", files["container"])
        self._files = Files(place, container, files["written"])
        self._layout = form.layout(self._files, options)
        self._papers = Papers(Setting(self._files, about, self._layout, store))
        if state:
            self._layout.restore(state["layout"])
            self._papers.restore(state["papers"])
        self.images: int = state.get("images", 0)
        self.position: int = state.get("position", 0)
        self.packs_images = self._layout.packs_images
        self._since = [0, 0]

    def add(self, batch: Read) -> None:
        for entry, data in batch:
            self._papers.add(Written(entry, self._layout.add(entry, data), data))
            self.images += 1
            self.position = entry.position
            self._since = [self._since[0] + 1, self._since[1] + len(data)]
            due = self._since[0] >= _CHECKPOINT_IMAGES or self._since[1] >= _CHECKPOINT_BYTES
            if due and self._layout.is_at_rest:
                self._checkpoint()

    def _checkpoint(self) -> None:
        self._since = [0, 0]
        self._place.checkpoint(
            {
                "files": self._files.state(),
                "layout": self._layout.state(),
                "papers": self._papers.state(),
                "images": self.images,
                "position": self.position,
            }
        )

    def settle(self) -> bool:
        if not self._layout.settle():
            return False
        self._checkpoint()
        return True

    def finish(self) -> tuple[Whole, str]:
        self._layout.finish()
        self._papers.finish()
        return self._files.finish()


async def _pack(
    entries: Entries, read: Callable[[list[Entry]], Read], dataset: _Dataset, progress: Progress, threads: int
) -> None:
    """Batches are read a little ahead, while those before are written."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(_AHEAD)
    waiting: asyncio.Queue[tuple[asyncio.Future[Read], int] | None] = asyncio.Queue()

    async def reading() -> None:
        try:
            async for batch in _batches(entries(dataset.position)):
                parts = min(_AHEAD, 1 + sum(entry.file_size for entry in batch) // _BATCH_BYTES)
                for _ in range(parts):
                    await room.acquire()
                waiting.put_nowait((loop.run_in_executor(readers, read, batch), parts))
        finally:
            waiting.put_nowait(None)

    async def writing() -> None:
        told = time.monotonic()
        while (one := await waiting.get()) is not None:
            batch, parts = one
            await _in_thread(dataset.add, await batch)
            for _ in range(parts):
                room.release()
            if time.monotonic() - told >= _TELL:
                await progress(dataset.images)
                told = time.monotonic()

    with ThreadPoolExecutor(threads) as readers:
        reader = asyncio.create_task(reading())
        try:
            await writing()  # in this task: what `progress` raises, be it a cancellation, ends the packing
            await reader
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            left = [one[0] for _ in range(waiting.qsize()) if (one := waiting.get_nowait())]
            for future in left:
                future.cancel()
            await asyncio.gather(*left, return_exceptions=True)


async def _batches(entries: AsyncIterator[Entry]) -> AsyncIterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    async for entry in entries:
        batch.append(entry)
        size += entry.file_size
        if len(batch) == _BATCH_IMAGES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _reader(store: Store, resize: Resize | None) -> Callable[[list[Entry]], Read]:
    """What a thread does with a batch."""
    if resize is None:
        return partial(_read, store)
    from gleanset.export.resizing import resized  # OpenCV, which an export of the images as they are can spare

    def read_and_resize(batch: list[Entry]) -> Read:
        return [resized(*each, resize) for each in _read(store, batch)]

    return read_and_resize


def _unread(batch: list[Entry]) -> Read:
    """For a table: what it tells of the images is known, and none of their bytes go out, so none need checking."""
    return [(entry, b"") for entry in batch]


def _read(store: Store, batch: list[Entry]) -> Read:
    read: Read = []
    for entry in batch:
        data = store.get_now(entry.key)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ExportError(f"The stored image {entry.key} is damaged. `gleanset db doctor` tells what to do.")
        read.append((entry, data))
    return read


async def _in_thread(work: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
    """Like `asyncio.to_thread`, but a cancelled caller waits: nobody may close the files that the thread writes."""
    thread = asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(thread)
    finally:
        await asyncio.wait([thread])
