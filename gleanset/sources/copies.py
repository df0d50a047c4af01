"""Copies of the lists that workers cannot read as they lie: remote ones, which may change, and compressed ones."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Protocol, cast
from urllib.parse import urlsplit

from gleanset.errors import OutcomeError, SourceError, StoreError
from gleanset.sources.base import Response
from gleanset.sources.list_file import ListFile, reading
from gleanset.sources.lists import SUFFIXES
from gleanset.store import Store, list_key
from gleanset.types import Reason

_GZIP = b"\x1f\x8b\x08"
_PART = 1024 * 1024
_MOST_UNFOLDED = 300  # times its size; lists shrink to a tenth, seldom to a hundredth
_SMALL = 64 * 1024 * 1024  # so much may come of anything
_OBJECT_STORES = {"s3", "gs", "az"}
_SUFFIX_OF = {
    "text/plain": ".txt",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/jsonl": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
}


class Saver(Protocol):
    """The part of the HTTP client that writes long answers to disk."""

    async def save(self, url: str, file: BinaryIO, *, max_bytes: int) -> Response: ...


async def readable_everywhere(name: str, http: Saver, store: Store, folder: Path, max_bytes: int) -> ListFile:
    """The list as a plain file: itself where it is one on this machine, a copy in the image store otherwise.

    `name` is a path, or an https://, s3:// (gs://, az://) address; gzipped lists are known by their first bytes.
    `folder` is for files that are gone at the end. Neither what is fetched nor what it unfolds to may be longer than
    `max_bytes`, nor than a quarter of the room below the folder. Object stores are asked with the credentials of this
    process: take such addresses only from people who may use them. Raises SourceError or StoreError.
    """
    if "://" not in name:
        file = ListFile(name)
        if not file.exists() or not await asyncio.to_thread(_is_gzipped, file):
            return file
        return await asyncio.to_thread(_stored, file, _suffix(name, None), store, folder, max_bytes)
    with _temporary(folder) as fetched:
        kind = await _fetched(name, http, fetched, _limit(folder, max_bytes))
        suffix = _suffix(urlsplit(name).path, kind)
        return await asyncio.to_thread(_store, name, fetched, suffix, store, folder, max_bytes)


def keep(name: str, stream: BinaryIO, store: Store, folder: Path, max_bytes: int) -> ListFile:
    """A copy in the image store of a list that somebody brings, plain or gzipped; its format is told by its name.

    It has its key for a name, so that no other place is looked for. Blocks; raises as `readable_everywhere` does.
    """
    with _temporary(folder):
        pass  # it is there, and can be written to
    kept = _store(name, stream, _suffix(name, None), store, folder, max_bytes)
    return ListFile(kept.key or name, kept.key, store)


def _stored(file: ListFile, suffix: str, store: Store, folder: Path, max_bytes: int) -> ListFile:
    with reading(file), file.open() as stream:
        return _store(file.name, stream, suffix, store, folder, max_bytes)


def _store(name: str, stream: BinaryIO, suffix: str, store: Store, folder: Path, max_bytes: int) -> ListFile:
    with _plain(name, stream, folder, max_bytes) as plain:
        key = list_key(_sha256(plain), suffix or ".txt")
        store.put_file(key, plain)
    return ListFile(name, key, store)


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    stream.seek(0)
    while part := stream.read(_PART):
        digest.update(part)
    return digest.hexdigest()


async def _fetched(name: str, http: Saver, file: BinaryIO, limit: int) -> str | None:
    """Write the remote list into the file; its media type, where that is told."""
    scheme = name.partition("://")[0].lower()
    if scheme in _OBJECT_STORES:
        await asyncio.to_thread(_from_store, name, file, limit)
        return None
    if scheme not in {"http", "https"}:
        raise SourceError(f"The list {name} cannot be read. Give a path, or an https:// or s3:// address.")
    try:
        response = await http.save(name, file, max_bytes=limit)
    except OutcomeError as error:
        if error.reason is Reason.TOO_LARGE:
            raise _too_long(name, limit) from error
        hint = " For a server of your own, say --allow-private." if error.reason is Reason.PRIVATE_ADDRESS else ""
        why = f"{(error.cause or error.reason).sentence}{hint}"
        raise SourceError(f"The list {name} cannot be fetched ({error.detail or error.reason}). {why}") from error
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _from_store(name: str, file: BinaryIO, limit: int) -> None:
    place, _, key = name.rpartition("/")
    try:
        store = Store(place)
        if store.size(key) > limit:
            raise _too_long(name, limit)
        with store.open(key) as stream:
            shutil.copyfileobj(stream, file, _PART)
    except StoreError as error:
        raise SourceError(f"The list {name} cannot be read. {str(error).rstrip('.')}.") from error


@contextmanager
def _temporary(folder: Path) -> Generator[BinaryIO]:
    """Errors of the file system that nothing inside has a better name for are those of this folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            yield cast("BinaryIO", file)
    except OSError as error:
        raise StoreError(
            f"A list cannot be copied by way of {folder}: {error.strerror or error}. Make room there, and try again."
        ) from error


@contextmanager
def _plain(name: str, stream: BinaryIO, folder: Path, max_bytes: int) -> Generator[BinaryIO]:
    """The list itself, or unfolded when it is gzipped."""
    if not _starts_gzipped(stream):
        yield stream
        return
    with _temporary(folder) as unfolded:
        try:
            _unfold(name, stream, unfolded, _limit(folder, max_bytes))
        except (BadGzipFile, EOFError, zlib.error) as error:
            raise SourceError(f"The list {name} is not a whole gzip file: {str(error).rstrip('.')}.") from error
        yield unfolded


def _unfold(name: str, stream: BinaryIO, target: BinaryIO, limit: int) -> None:
    size = stream.seek(0, 2)
    stream.seek(0)
    written = 0
    with GzipFile(fileobj=stream, mode="rb") as unfolding:  # whatever mode the stream itself says
        while part := unfolding.read(_PART):
            written += len(part)
            if written > limit:
                raise _too_long(name, limit)
            if written > max(_SMALL, _MOST_UNFOLDED * size):
                raise SourceError(
                    f"The list {name} unfolds to more than {_MOST_UNFOLDED} times its size: that is no list but a trap."
                    " If you trust it, unpack it yourself."
                )
            target.write(part)
    target.flush()


def _limit(folder: Path, max_bytes: int) -> int:
    """Fetched, unfolded and stored it lies there up to three times, and others need room too."""
    return min(max_bytes, shutil.disk_usage(folder).free // 4)


def _too_long(name: str, limit: int) -> SourceError:
    return SourceError(
        f"The list {name} is longer than {limit:,} bytes, which is the limit for lists or a quarter of the room on the"
        " disk. Raise the limit, make room, or split the list."
    )


def _is_gzipped(file: ListFile) -> bool:
    with reading(file), file.open() as stream:
        return _starts_gzipped(stream)


def _starts_gzipped(stream: BinaryIO) -> bool:
    stream.seek(0)
    return stream.read(len(_GZIP)) == _GZIP


def _suffix(path: str, media_type: str | None) -> str:
    """That of the list's format, by its name or else its media type."""
    name = Path(path)
    suffix = name.with_suffix("").suffix if name.suffix.lower() == ".gz" else name.suffix
    suffix = suffix.lower()
    if media_type is not None and (not suffix or suffix not in SUFFIXES):
        suffix = _SUFFIX_OF.get(media_type, "unknown")  # a page, perhaps; not every address without a suffix is a list
    if suffix not in SUFFIXES:
        known = ", ".join(known for known in SUFFIXES if known)
        raise SourceError(
            f"The name {name.name} says nothing about the list's format. Use one of {known}, also with .gz."
        )
    return suffix
