"""A finished dataset on its way into an object store, where it is to lie as a file, or as a folder of files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from gleanset.errors import NotDelivered
from gleanset.export.files import MANIFEST

Sent = Callable[[int], Awaitable[None]]
"""Told after each step how many bytes are there; may raise to stop."""

_FOREIGN = (BaseError, OSError, ValueError)
"""What obstore raises; ValueError for an address that does not parse."""
_PART, _MOST_PARTS = 8 << 20, 9_000
"""S3 takes 10,000 parts a file."""
_AT_ONCE = 8
_PROBE = ".gleanset-probe"
_HASTY: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
"""Whoever only asks whether a place is good is not kept waiting for minutes."""


class ObjectPlace:
    """An address such as `s3://bucket/place`. Every method raises NotDelivered.

    A file is there whole or not at all; of a folder the manifest comes last: when it is there, all are.
    """

    def __init__(self, address: str, *, folder: bool) -> None:
        self.address = address.rstrip("/")
        self._parent, _, self._name = (self.address, "", None) if folder else self.address.rpartition("/")
        self._opened(_HASTY)

    def check(self) -> None:
        """Whether it can be written, and holds nothing yet. Blocks for as long as the store takes to answer."""
        store, probe = self._opened(_HASTY), f".{self._name}{_PROBE}" if self._name else _PROBE
        with self._told():
            if self._there(store, probe):
                raise NotDelivered(f"{self.address} exists already. Choose another name, or move it away.")
            obstore.put(store, probe, b"", use_multipart=False)
            obstore.delete(store, probe)

    def _there(self, store: Any, but: str) -> bool:
        if self._name is None:
            return any(each["path"] != but for each in _listed(store))
        try:
            obstore.head(store, self._name)
        except FileNotFoundError:
            return False
        return True

    async def send(self, packed: Path, sent: Sent, *, begun: bool, same: bool) -> None:
        """Bring the file or folder there. `begun`: what lies there comes from an attempt before, which is gone on with
        when it was at the `same` bytes, and is written over otherwise."""
        store = self._opened(None)
        with self._told():
            there = await asyncio.to_thread(self._left, store, packed, same=same) if begun else {}
            await _Sending(store, sent, there).send(self._files(packed))

    def _left(self, store: Any, packed: Path, *, same: bool) -> dict[str, int]:
        """What need not go again. Files that are none of the dataset's any more are deleted, its manifest first."""
        sizes = self._sizes(store)
        if not same and MANIFEST in sizes:
            obstore.delete(store, MANIFEST)
        if self._name is None:
            obstore.delete(store, [name for name in sizes if not (packed / name).is_file()])
        return sizes if same else {}

    def _sizes(self, store: Any) -> dict[str, int]:
        if self._name is None:
            return {each["path"]: each["size"] for each in _listed(store)}
        try:
            return {self._name: obstore.head(store, self._name)["size"]}
        except FileNotFoundError:
            return {}

    def _files(self, packed: Path) -> Iterator[tuple[str, Path]]:
        if self._name is not None:
            return iter([(self._name, packed)])
        found = (path for path in packed.rglob("*") if path.is_file())
        files = ((path.relative_to(packed).as_posix(), path) for path in found)
        return chain((each for each in files if each[0] != MANIFEST), [(MANIFEST, packed / MANIFEST)])

    def _opened(self, retries: Any) -> Any:
        try:
            return from_url(self._parent, retry_config=retries)
        except _FOREIGN as error:
            what = f"{self.address} is no address of an object store, such as s3://bucket/folder"
            raise NotDelivered(f"{what}: {_cause(error)}") from error

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except _FOREIGN as error:
            raise NotDelivered(f"The dataset cannot be put to {self.address}: {_cause(error)}") from error


def _listed(store: Any) -> Iterator[Any]:
    for page in cast("Any", obstore).list(store):
        yield from page


class _Sending:
    """Files on their way; `there` are the sizes of those that need not go again."""

    def __init__(self, store: Any, sent: Sent, there: dict[str, int]) -> None:
        self._store, self._told, self._there = store, sent, there
        self._sent = 0

    async def send(self, files: Iterator[tuple[str, Path]]) -> None:
        """Small ones some at a time, large ones part by part; all others are there before the manifest goes."""
        small: list[tuple[str, Path]] = []
        for name, path in files:
            if name == MANIFEST or len(small) == _AT_ONCE:
                await self._batch(small)
                small = []
            size = path.stat().st_size
            if self._there.get(name) == size:
                self._sent += size
            elif size > _PART:
                await self._large(name, path, size)
            else:
                small.append((name, path))
        await self._batch(small)

    async def _batch(self, files: list[tuple[str, Path]]) -> None:
        self._sent += sum(await asyncio.gather(*(self._small(name, path) for name, path in files)))
        await self._told(self._sent)

    async def _small(self, name: str, path: Path) -> int:
        data = await asyncio.to_thread(path.read_bytes)
        await obstore.put_async(self._store, name, data, use_multipart=False)
        return len(data)

    async def _large(self, name: str, path: Path, size: int) -> None:
        part = max(_PART, -(-size // _MOST_PARTS))
        writer = obstore.open_writer_async(self._store, name, buffer_size=part, max_concurrency=4)
        with path.open("rb") as file:
            while block := await asyncio.to_thread(file.read, part):
                await writer.write(block)
                self._sent += len(block)
                await self._told(self._sent)
        await writer.close()  # only now it is there; who stops before leaves nothing to be seen


def _cause(error: Exception) -> str:
    """What a person can do something about; otherwise obstore's own words, without its debug dump."""
    text = str(error)
    if "NoSuchBucket" in text:
        return "there is no such bucket. Make it first, or choose another place."
    if "169.254.169.254" in text or "AccessDenied" in text or "403 Forbidden" in text or "401 Unauthorized" in text:
        return (
            "the store does not let this process write there. The worker that packs needs credentials, such as"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with leave to list, write and delete."
        )
    line = text.partition("\n")[0].partition("<?xml")[0].strip()
    return f"{line or type(error).__name__}".rstrip(".: ") + "."
