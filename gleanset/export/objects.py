"""A finished dataset on its way into an object store, where it is to lie as a file, or as a folder of files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotSupportedError
from obstore.store import from_url

from gleanset.errors import NotDelivered
from gleanset.export.files import MANIFEST
from gleanset.export.verify import is_export

Sent = Callable[[int], Awaitable[None]]
"""Told after each step how many bytes are there; may raise to stop."""

_FOREIGN = (BaseError, OSError, ValueError)
"""What obstore raises; ValueError for an address that does not parse."""
_PART, _MOST_PARTS = 8 << 20, 9_000
"""S3 takes 10,000 parts a file."""
_AT_ONCE = 8
_NO_BUCKET = "NoSuchBucket"
_PROBE = ".gleanset-probe"
_MARKER = ".gleanset-export"
"""Lies where a dataset is on its way to, and holds whose it is; without it nothing is deleted or written over."""
_HASTY: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
"""Whoever only asks whether a place is good is not kept waiting for minutes."""


class ObjectPlace:
    """An address such as `s3://bucket/place`. Every method raises NotDelivered.

    A file is there whole or not at all; of a folder the manifest comes last: when it is there, all are.
    `mark` names whose dataset it is, the same for all attempts to bring it there, and no other's.
    """

    def __init__(self, address: str, *, folder: bool, mark: str = "") -> None:
        self._mark = mark.encode()
        self.address = address.rstrip("/")
        self._parent, _, self._name = (self.address, "", None) if folder else self.address.rpartition("/")
        beside = f".{self._name}" if self._name else ""
        self._probe, self._marker = f"{beside}{_PROBE}", f"{beside}{_MARKER}"
        self._opened(_HASTY)

    def check(self) -> None:
        """Whether it can be written, and holds nothing yet. Blocks for as long as the store takes to answer."""
        store = self._opened(_HASTY)
        with self._told():
            self._check_free(store, self._holder(store))
            obstore.put(store, self._probe, b"", use_multipart=False)
            obstore.delete(store, self._probe)

    def claim(self, *, begun: bool, sha256: str | None) -> bool:
        """Put the marker there before anything else. False when the dataset, of this SHA-256, is there already, whole:
        the marker goes when all is done. `begun`: what lies behind our marker comes from an attempt before."""
        store = self._opened(_HASTY)
        with self._told():
            holder = self._holder(store)
            if begun and holder == self._mark:
                return True
            if begun and holder is None and sha256 is not None and self._holds(store, sha256):
                return False
            self._check_free(store, holder)
            if holder is None:
                self._put_marker(store)
                try:
                    self._check_free(store, self._holder(store))
                except NotDelivered:
                    if self._holder(store) == self._mark:
                        obstore.delete(store, self._marker)
                    raise
        return True

    def clear(self) -> None:
        """Delete what attempts before have sent, the manifest first; the marker stays."""
        store = self._opened(_HASTY)
        with self._told():
            self._check_ours(store)
            sizes = self._sizes(store)
            if MANIFEST in sizes:
                obstore.delete(store, MANIFEST)
            if left := [name for name in sizes if name != MANIFEST]:
                obstore.delete(store, left)

    def release(self) -> None:
        """Take the marker away: what lies there is a dataset like any other now."""
        store = self._opened(_HASTY)
        with self._told():
            if self._holder(store) == self._mark:
                obstore.delete(store, self._marker)

    async def send(self, packed: Path, sent: Sent) -> None:
        """Bring the file or folder there, where `claim` has put the marker. What is there in its full size is of the
        same dataset, and stays."""
        store = self._opened(None)
        with self._told():

            async def still() -> None:
                await asyncio.to_thread(self._check_ours, store)

            await still()
            sending = _Sending(store, sent, await asyncio.to_thread(self._sizes, store), still)
            await sending.send(self._files(packed))

    def _holder(self, store: Any) -> bytes | None:
        """What the marker says; None when there is none."""
        try:
            return bytes(obstore.get(store, self._marker).bytes())
        except FileNotFoundError as error:
            if _NO_BUCKET in str(error):
                raise
            return None

    def _check_ours(self, store: Any) -> None:
        if self._holder(store) != self._mark:
            raise NotDelivered(
                f"{self.address} is not this export's any more: somebody removed {self._marker} there. Move away what"
                " is there, or choose another name."
            )

    def _check_free(self, store: Any, holder: bytes | None) -> None:
        if self._sizes(store):
            raise NotDelivered(f"{self.address} exists already. Choose another name, or move it away.")
        if holder not in (None, self._mark):
            raise NotDelivered(
                f"{self.address} exists already: another export has begun there. Choose another name, go on with that"
                f" one, or remove {self._marker} there."
            )

    def _put_marker(self, store: Any) -> None:
        """Only one of those who come at once gets through, where the store can tell."""
        try:
            obstore.put(store, self._marker, self._mark, use_multipart=False, mode="create")
        except AlreadyExistsError:
            return  # whose it is, the next look tells
        except (BaseError, NotImplementedError) as error:
            if not isinstance(error, (NotSupportedError, NotImplementedError)) and "NotImplemented" not in str(error):
                raise
            obstore.put(store, self._marker, self._mark, use_multipart=False)

    def _holds(self, store: Any, sha256: str) -> bool:
        """Whether the dataset of this SHA-256 is there. Of a folder the manifest was the last to come."""
        if self._name is not None:
            return self._name in self._sizes(store) and is_export(self.address, sha256, folder=False)
        try:
            manifest = obstore.get(store, MANIFEST).bytes()
        except FileNotFoundError:
            return False
        return hashlib.sha256(manifest).hexdigest() == sha256

    def _sizes(self, store: Any) -> dict[str, int]:
        """Of what is there of a dataset."""
        if self._name is None:
            own = {self._probe, self._marker}
            return {each["path"]: each["size"] for each in _listed(store) if each["path"] not in own}
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
    """Files on their way; `there` are the sizes of those that need not go again. `still` raises when the place is not
    ours any more: who has sent for hours asks before large files and the manifest are to be seen."""

    def __init__(self, store: Any, sent: Sent, there: dict[str, int], still: Callable[[], Awaitable[None]]) -> None:
        self._store, self._told, self._there, self._still = store, sent, there, still
        self._sent = 0

    async def send(self, files: Iterator[tuple[str, Path]]) -> None:
        """Small ones some at a time, large ones part by part; all others are there before the manifest goes."""
        small: list[tuple[str, Path]] = []
        for name, path in files:
            if name == MANIFEST or len(small) == _AT_ONCE:
                await self._batch(small)
                small = []
            if name == MANIFEST:
                await self._still()
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
        await self._still()
        await writer.close()  # only now it is there; who stops before leaves nothing to be seen


def _cause(error: Exception) -> str:
    """What a person can do something about; otherwise obstore's own words, without its debug dump."""
    text = str(error)
    if _NO_BUCKET in text:
        return "there is no such bucket. Make it first, or choose another place."
    if "169.254.169.254" in text or "AccessDenied" in text or "403 Forbidden" in text or "401 Unauthorized" in text:
        return (
            "the store does not let this process write there. The worker that packs needs credentials, such as"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with leave to list, read, write and delete."
        )
    line = text.partition("\n")[0].partition("<?xml")[0].strip()
    return f"{line or type(error).__name__}".rstrip(".: ") + "."
