"""Small pictures for looking at, made of the stored bytes at the first look and kept beside them."""

from __future__ import annotations

import asyncio

from backend.errors import NotFound
from gleanset.errors import ImageRefused
from gleanset.store import Store, thumbnail_key


class Thumbnails:
    """One a web process. At most `at_once` pictures are read and decoded at a time, each by a thread."""

    def __init__(self, store: Store, max_pixels: int, at_once: int) -> None:
        self._store = store
        self._max_pixels = max_pixels
        self._turn = asyncio.Semaphore(at_once)

    async def get(self, key: str) -> bytes:
        """The thumbnail of the blob with this key, a JPEG. Raises NotFound, or StoreError."""
        small = thumbnail_key(key)
        found = await self._read(small)
        if found is not None:
            return found
        async with self._turn:
            return await self._read(small) or await self._make(key, small)  # somebody may have had the turn before

    async def _make(self, key: str, small: str) -> bytes:
        original = await self._read(key)
        if original is None:
            raise NotFound("The file is gone from the image store; `gleanset db doctor` tells more.")
        try:
            made = await asyncio.to_thread(_made, original, self._max_pixels)
        except ImageRefused as error:
            raise NotFound(f"The file in the image store is no picture any more: {error}") from error
        await self._store.put(small, made)
        if await self._store.length(key) is None:  # taken down meanwhile
            await self._store.delete([small])
        return made

    async def _read(self, key: str) -> bytes | None:
        found = await self._store.stream(key)
        return None if found is None else b"".join([block async for block in found.blocks])


def _made(original: bytes, max_pixels: int) -> bytes:
    from gleanset.inspect import InspectLimits, make_thumbnail  # NumPy and OpenCV, which no other page waits for

    return make_thumbnail(original, InspectLimits(max_pixels=max_pixels))
