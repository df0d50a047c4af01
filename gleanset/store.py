"""Content-addressed blobs: the original bytes of an image, kept once under their SHA-256.

A key is `ab/abcd….jpg`: 256 folders keep any one small (a second level would make a folder for nearly every file, and
making folders costs more than writing files), and the extension, which comes from the content, lets a person look at a
file. The same bytes always get the same key: writing twice is harmless and needs no lock.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

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

_FOREIGN = (BaseError, OSError, ValueError)
"""What obstore raises; ValueError for a key or an address that does not parse."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What a listing tells. `modified` is when it was last written, by the store's clock."""

    key: str
    modified: datetime


def blob_key(sha256: str, image_format: str) -> str:
    """Where the blob with this hash (lower-case hex) lives in the store."""
    return f"{sha256[:2]}/{sha256}.{EXTENSIONS[image_format]}"


def parse_key(key: str) -> tuple[str, str] | None:
    """Hash and extension of a blob's key; None for the key of anything else."""
    found = _KEY.fullmatch(key)
    return (found["sha256"], found["extension"]) if found and found["extension"] in EXTENSIONS.values() else None


class Store:
    """Blobs in a local folder (a path) or an object store (`s3://bucket/prefix`, `gs://`, `az://`).

    Every method raises StoreError when the store does not answer or has no room.
    """

    def __init__(self, place: str) -> None:
        self.is_local = "://" not in place
        try:
            if self.is_local:
                folder = Path(place).resolve()
                self._objects: ObjectStore = LocalStore(folder, mkdir=True)
                self.base = folder.as_uri()
            else:
                self._objects = from_url(place)
                self.base = place.rstrip("/")
        except _FOREIGN as error:
            raise StoreError(f"The image store {place} cannot be opened: {error}") from error

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
        """The same, blocking: on a local disk, a thread that has the bytes at hand does it in half the time."""
        try:
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

    async def keys(self) -> AsyncIterator[list[str]]:
        """Every key, in lists of about a thousand and no particular order."""
        async for blobs in self.blobs():
            yield [blob.key for blob in blobs]

    async def blobs(self) -> AsyncIterator[list[Blob]]:
        """Everything in the store, in lists of about a thousand and no particular order."""
        try:
            async for listing in self._objects.list(chunk_size=1000):  # pyright: ignore[reportUnknownMemberType]
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

    async def delete(self, keys: list[str]) -> None:
        """Remove blobs."""
        try:
            await obstore.delete_async(self._objects, keys)
        except _FOREIGN as error:
            raise StoreError(f"Images cannot be removed from {self.base}: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    """The first line: obstore adds a debug dump of its source error behind it."""
    text = str(error)
    if "os error 28" in text or "StorageFull" in text:
        return "no space left on the device; make room and try again"
    return text.splitlines()[0] if text else type(error).__name__
