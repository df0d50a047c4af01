"""Content-addressed blobs: the original bytes of an image, kept once under their SHA-256.

A key is `ab/abcd….jpg`: 256 folders keep any one small (a second level would make a folder for nearly every file, and
making folders costs more than writing files), and the extension, which comes from the content, lets a person look at a
file. The same bytes always get the same key: writing twice is harmless and needs no lock.

Copies of lists of URLs lie beside them, as `lists/abcd….csv`, where every worker can read them, and small pictures for
looking at, as `thumbnails/ab/abcd….jpg`: they are made again when they are gone, and go with their blob.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, RawIOBase
from pathlib import Path
from threading import get_ident
from typing import BinaryIO

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from gleanset.copying import write_at
from gleanset.errors import StoreError

EXTENSIONS = {
    "jpeg": "jpg",
    "png": "png",
    "webp": "webp",
    "gif": "gif",
    "tiff": "tif",
    "avif": "avif",
    "bmp": "bmp",
}


_KEY = re.compile(r"(?P<folder>[0-9a-f]{2})/(?P<sha256>(?P=folder)[0-9a-f]{62})\.(?P<extension>[a-z]+)")

_LIST_KEY = re.compile(r"lists/(?P<sha256>[0-9a-f]{64})\.(?P<extension>[a-z]+)")
THUMBNAILS = "thumbnails/"
_RANGE = 1024 * 1024  # bytes asked for at once of a remote file
_BLOCK = 256 * 1024  # bytes handed on at once of a blob that streams by

_NOT_LET_IN = ("/latest/api/token", "AccessDenied", "403 Forbidden", "401 Unauthorized")
"""In words of obstore. The path is where it looks for credentials when none are set, which only clouds have."""
_FOREIGN = (BaseError, OSError, ValueError)
"""What obstore raises; ValueError for a key or an address that does not parse."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What a listing tells. `modified` is when it was last written, by the store's clock."""

    key: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Stream:
    """A part of a blob on its way: bytes from `start` to before `stop` of `size`."""

    size: int
    start: int
    stop: int
    blocks: AsyncIterator[bytes]


def blob_key(sha256: str, image_format: str) -> str:
    """Where the blob with this hash (lower-case hex) lives in the store."""
    return f"{sha256[:2]}/{sha256}.{EXTENSIONS[image_format]}"


def parse_key(key: str) -> tuple[str, str] | None:
    """Hash and extension of a blob's key; None for the key of anything else."""
    found = _KEY.fullmatch(key)
    return (found["sha256"], found["extension"]) if found and found["extension"] in EXTENSIONS.values() else None


def thumbnail_key(key: str) -> str:
    """Where the thumbnail of the blob with this key lies."""
    return f"{THUMBNAILS}{key.rpartition('.')[0]}.jpg"


def list_key(sha256: str, suffix: str) -> str:
    """Where the copy of a list with this hash (lower-case hex) lies; `suffix` is that of its format: `.csv`."""
    return f"lists/{sha256}{suffix}"


def parse_list_key(key: str) -> tuple[str, str] | None:
    """Hash and extension of a copy of a list; None for the key of anything else."""
    found = _LIST_KEY.fullmatch(key)
    return (found["sha256"], found["extension"]) if found else None


class Store:
    """Blobs in a local folder (a path) or an object store (`s3://bucket/prefix`, `gs://`, `az://`).

    Every method raises StoreError when the store does not answer or has no room.
    """

    def __init__(self, place: str) -> None:
        self.is_local = "://" not in place
        self.folder: Path | None = None
        try:
            if self.is_local:
                self.folder = folder = Path(place).resolve()
                self._objects: ObjectStore = LocalStore(folder, mkdir=True)
                self.base = folder.as_uri()
            else:
                self._objects = from_url(place)
                self.base = place.rstrip("/")
        except _FOREIGN as error:
            raise StoreError(f"The image store {place} cannot be opened: {_cause(error)}") from error

    def url(self, key: str) -> str:
        """The address of a blob, as kept in the database."""
        return f"{self.base}/{key}"

    async def put(self, key: str, data: bytes) -> None:
        """Write a blob; it is there whole or not at all."""
        try:
            await obstore.put_async(self._objects, key, data, use_multipart=False)
        except _FOREIGN as error:
            raise StoreError(f"An image cannot be written to {self.base}: {_cause(error)}") from error

    def put_now(self, key: str, data: bytes) -> None:
        """The same, blocking: on a local disk, who has the bytes at hand does it in a quarter of the time."""
        try:
            if self.folder is not None and _KEY.fullmatch(key):
                _write(f"{self.folder}/{key}", data)
                return
            obstore.put(self._objects, key, data, use_multipart=False)
        except _FOREIGN as error:
            raise StoreError(f"An image cannot be written to {self.base}: {_cause(error)}") from error

    async def get(self, key: str) -> bytes:
        """Read a blob."""
        try:
            result = await obstore.get_async(self._objects, key)
            return bytes(await result.bytes_async())
        except _FOREIGN as error:
            raise StoreError(f"The image {self.url(key)} cannot be read: {_cause(error)}") from error

    def get_now(self, key: str) -> bytes:
        """Read a blob, blocking: for threads that read many one after the other."""
        try:
            if self.folder is not None:
                return _read(f"{self.folder}/{key}")
            return bytes(obstore.get(self._objects, key).bytes())
        except _FOREIGN as error:
            raise StoreError(f"The image {self.url(key)} cannot be read: {_cause(error)}") from error

    def put_file(self, key: str, file: BinaryIO) -> None:
        """Write what is in the file from its beginning, of any length; it is there whole or not at all. Blocks."""
        file.seek(0)
        try:
            obstore.put(self._objects, key, file)
        except _FOREIGN as error:
            raise StoreError(f"A file cannot be written to {self.base}: {_cause(error)}") from error

    def open(self, key: str) -> BinaryIO:
        """The blob as a file, to be read from any place on in little memory. Its reads block, and raise StoreError."""
        return BufferedReader(_Ranges(self, key), _RANGE)

    def read(self, key: str, start: int, length: int) -> memoryview:
        """A part of a blob, which must be that long. Blocks."""
        try:
            return memoryview(obstore.get_range(self._objects, key, start=start, length=length))
        except _FOREIGN as error:
            raise StoreError(f"{self.url(key)} cannot be read: {_cause(error)}") from error

    def size(self, key: str) -> int:
        """The blob's bytes. Blocks."""
        try:
            return obstore.head(self._objects, key)["size"]
        except _FOREIGN as error:
            raise StoreError(f"{self.url(key)} cannot be read: {_cause(error)}") from error

    def sha256(self, key: str) -> str | None:
        """The hash, in hex, of the bytes that are there now, read block by block; None when there are none. Blocks."""
        digest = hashlib.sha256()
        try:
            for block in obstore.get(self._objects, key).stream(min_chunk_size=_BLOCK):
                digest.update(block)
        except FileNotFoundError:
            return None
        except _FOREIGN as error:
            raise StoreError(f"{self.url(key)} cannot be read: {_cause(error)}") from error
        return digest.hexdigest()

    async def keys(self) -> AsyncIterator[list[str]]:
        """Every key, in lists of about a thousand and no particular order."""
        async for blobs in self.blobs():
            yield [blob.key for blob in blobs]

    async def blobs(self, prefix: str | None = None) -> AsyncIterator[list[Blob]]:
        """Everything in the store, or below a folder, in lists of about a thousand and no particular order."""
        try:
            async for listing in self._objects.list(prefix, chunk_size=1000):  # pyright: ignore[reportUnknownMemberType]
                yield [Blob(meta["path"], meta["last_modified"]) for meta in listing]
        except _FOREIGN as error:
            raise StoreError(f"{self.base} cannot be listed: {_cause(error)}") from error

    async def modified(self, key: str) -> datetime | None:
        """When a blob was last written; None when it is not there."""
        try:
            return (await obstore.head_async(self._objects, key))["last_modified"]
        except FileNotFoundError:
            return None
        except _FOREIGN as error:
            raise StoreError(f"The image {self.url(key)} cannot be looked at: {_cause(error)}") from error

    async def length(self, key: str) -> int | None:
        """The blob's bytes; None when it is not there."""
        try:
            return (await obstore.head_async(self._objects, key))["size"]
        except FileNotFoundError:
            return None
        except _FOREIGN as error:
            raise StoreError(f"The image {self.url(key)} cannot be looked at: {_cause(error)}") from error

    async def stream(self, key: str, part: tuple[int, int] | None = None) -> Stream | None:
        """The blob block by block, or the part from the first number to before the second; None when it is not there.

        `part` must begin before the blob's end.
        """
        try:
            found = await obstore.get_async(self._objects, key, options={"range": part} if part else {})
        except FileNotFoundError:
            return None
        except _FOREIGN as error:
            raise StoreError(f"The image {self.url(key)} cannot be read: {_cause(error)}") from error
        blocks = (bytes(block) async for block in found.stream(min_chunk_size=_BLOCK))
        return Stream(found.meta["size"], *found.range, blocks)

    async def erase(self, keys: Iterable[str]) -> None:
        """Remove what is there of these blobs, and their thumbnails."""

        async def one(key: str) -> None:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._objects, key)

        try:
            await asyncio.gather(*(one(each) for key in keys for each in (key, thumbnail_key(key))))
        except _FOREIGN as error:
            raise StoreError(f"Images cannot be removed from {self.base}: {_cause(error)}") from error

    async def delete(self, keys: list[str]) -> None:
        """Remove blobs that are there."""
        try:
            await obstore.delete_async(self._objects, keys)
        except _FOREIGN as error:
            raise StoreError(f"Images cannot be removed from {self.base}: {_cause(error)}") from error


class _Ranges(RawIOBase):
    """A blob as Python knows files."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._size, self._at = store.size(key), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        self._at = max(0, offset + {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        length = max(0, min(len(buffer), self._size - self._at))
        if length:
            buffer[:length] = self._store.read(self._key, self._at, length)
            self._at += length
        return length


def _read(path: str) -> bytes:
    """A file in half of the system calls that Python's own files take, and of the waits for its lock between them."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(file).st_size
        data = os.read(file, size)
        while len(data) < size and (more := os.read(file, size - len(data))):
            data += more
        return data
    finally:
        os.close(file)


def _write(path: str, data: bytes) -> None:
    """A file that is there whole or not at all, under its own name, whoever else writes the same one."""
    new = f"{path}#{os.getpid()}{get_ident()}"  # as obstore calls what is not whole yet, and its listings leave out
    how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        file = os.open(new, how, 0o666)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = os.open(new, how, 0o666)
    try:
        try:
            write_at(file, [data], 0)
        finally:
            os.close(file)
        os.rename(new, path)  # noqa: PTH104 - a Path costs as much again
    except BaseException:
        with suppress(OSError):
            Path(new).unlink()
        raise


def _cause(error: Exception) -> str:
    """The first line: obstore adds a debug dump of its source error behind it."""
    text = str(error)
    if "os error 28" in text or "Errno 28" in text or "StorageFull" in text:
        return "no space left on the device; make room and try again"
    if "Unable to recognise URL" in text:
        return "it is neither a folder nor an address such as s3://bucket/folder"
    if any(sign in text for sign in _NOT_LET_IN):
        return (
            "the store does not let this process in; it needs credentials that allow it, such as AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY"
        )
    if "NoSuchBucket" in text:
        return "there is no such bucket; make it first, or choose another place"
    return text.splitlines()[0] if text else type(error).__name__
