"""A dataset packed: a thread lays it out, processes copy the images or make smaller ones, the papers come last."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec

from gleanset.decoders import Decoders
from gleanset.errors import ExportError
from gleanset.export.base import About, Entries, Entry, Packed, Progress
from gleanset.export.container import Container, Whole
from gleanset.export.files import Files
from gleanset.export.images import Batch, Images
from gleanset.export.layout import Layout, Options
from gleanset.export.paper import Setting, Written
from gleanset.export.papers import Papers
from gleanset.export.workspace import Workspace
from gleanset.store import Store

P = ParamSpec("P")
MakeContainer = Callable[[Workspace, str, dict[str, Any]], Container]
MakeLayout = Callable[[Files, Options], Layout]

_BATCH_BYTES = 4 << 20
"""Bytes of images that go from thread to thread together, where they do."""
WRITING = 2
"""Another one whenever the same entries are written with other bytes: nobody goes on with what was begun otherwise."""
_AHEAD = 8
"""Batches that may be read and not written yet; one of more bytes counts as so many."""
_CHECKPOINT_IMAGES, _CHECKPOINT_BYTES = 2_000, 256 << 20
"""A killed export makes so much again at most; and between checkpoints the disk may take its time."""
_TELL = 0.5
"""Seconds between two words of progress."""


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
    decoders: Decoders | None = None,
) -> Packed:
    """Pack the entries in the workspace, from its checkpoint on. decoders: who copies the images, or makes smaller
    ones; two processes of its own when there are none.

    Raises StoreError for a blob that is gone, ExportError for one whose bytes are not those of its name, when there is
    nothing to pack, or when a file cannot be written; DecoderError when there is nobody to copy.
    """
    try:
        dataset: _Dataset = await _in_thread(_Dataset, form, place, about, options, store)
        images = Images(store, dataset.layout, options.resize, decoders)
        place.copy_by(images.copy)
        try:
            await _pack(entries, images, dataset, progress)
            while await _in_thread(dataset.settle):
                await progress(dataset.images)
            whole, sha256 = await _in_thread(dataset.finish)
        except BaseException:
            with suppress(Exception):
                # Whoever goes on has the checkpoints that were waiting for copies, and the files for himself.
                await _in_thread(place.settle)
            raise
        finally:
            images.close()
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
    decoders: Decoders | None = None,
) -> Packed:
    """Pack the entries into `target`, which must not exist; whatever is raised, nothing is left behind."""
    try:
        place = await asyncio.to_thread(_beside, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        packed = await pack(form, entries, store, place, about, progress, options, decoders)
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
        self.layout = form.layout(self._files, options)
        self._papers = Papers(Setting(self._files, about, self.layout, store))
        if state:
            self.layout.restore(state["layout"])
            self._papers.restore(state["papers"])
        self.images: int = state.get("images", 0)
        self.position: int = state.get("position", 0)
        self._since = [0, 0]

    def add(self, batch: Batch) -> None:
        for entry, data in batch:
            self._papers.add(Written(entry, self.layout.add(entry, data)))
            self.images += 1
            self.position = entry.position
            self._since = [self._since[0] + 1, self._since[1] + len(data)]
            due = self._since[0] >= _CHECKPOINT_IMAGES or self._since[1] >= _CHECKPOINT_BYTES
            if due and self.layout.is_at_rest:
                self._checkpoint()
        self._place.tend()

    def check(self) -> None:
        """Raises ExportError when there was nothing to pack."""
        if not self.images:
            raise ExportError(
                "There is no valid image to export, or none with the labels asked for: `gleanset jobs show` tells what"
                " is not valid, and why."
            )

    def _checkpoint(self) -> None:
        self._since = [0, 0]
        self._place.checkpoint(
            {
                "files": self._files.state(),
                "layout": self.layout.state(),
                "papers": self._papers.state(),
                "images": self.images,
                "position": self.position,
            }
        )

    def settle(self) -> bool:
        if not self.layout.settle():
            return False
        self._checkpoint()
        return True

    def finish(self) -> tuple[Whole, str]:
        self.layout.finish()
        self._papers.finish()
        return self._files.finish()


async def _pack(entries: Entries, images: Images, dataset: _Dataset, progress: Progress) -> None:
    """Batches are made ready a little ahead, while those before are written."""
    room = asyncio.Semaphore(_AHEAD)
    waiting: asyncio.Queue[tuple[asyncio.Task[Batch], int] | None] = asyncio.Queue()

    async def reading() -> None:
        try:
            async for batch, size in _batches(entries(dataset.position), images):
                parts = min(_AHEAD, 1 + size // _BATCH_BYTES)
                for _ in range(parts):
                    await room.acquire()
                waiting.put_nowait((asyncio.create_task(images.ready(batch)), parts))
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

    reader = asyncio.create_task(reading())
    try:
        await writing()  # in this task: what `progress` raises, be it a cancellation, ends the packing
        await reader
        dataset.check()
    finally:
        reader.cancel()
        left = [one[0] for _ in range(waiting.qsize()) if (one := waiting.get_nowait())]
        for task in left:
            task.cancel()
        await asyncio.gather(reader, *left, return_exceptions=True)


async def _batches(entries: AsyncIterator[Entry], images: Images) -> AsyncIterator[tuple[list[Entry], int]]:
    """With their sizes in bytes."""
    batch: list[Entry] = []
    size = 0
    async for entry in entries:
        batch.append(entry)
        size += images.size_of(entry)
        if len(batch) >= images.at_once or size >= _BATCH_BYTES:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


async def _in_thread(work: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
    """Like `asyncio.to_thread`, but a cancelled caller waits: nobody may close the files that the thread writes."""
    thread = asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(thread)
    finally:
        await asyncio.wait([thread])
