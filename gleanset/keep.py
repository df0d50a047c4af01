"""What is kept of an image that has come: its measures, and its bytes in the store. It is done by a decoder."""

from __future__ import annotations

import gc
import hashlib
from dataclasses import dataclass
from functools import cache

import cv2
from isal.isal_zlib import crc32  # pyright: ignore[reportUnknownVariableType]

from gleanset.inspect import InspectLimits, inspect, inspect_and_resize
from gleanset.store import Store, blob_key
from gleanset.types import Inspection, ResizedFile


@dataclass(frozen=True, slots=True)
class Kept:
    """`key`: of the file that stands for the image, the original or its smaller copy. `crc32`: of that file's bytes.
    `files`: what is still to be stored, by key; None for the bytes that came."""

    inspection: Inspection
    key: str
    crc32: int
    resized: ResizedFile | None
    files: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How to keep an image. folder: that of a store on this machine, which is written to while the bytes are at hand;
    None for any other. resize, keep_original: as in GatherOptions. unless: the SHA-256 of bytes that are there already.
    """

    folder: str | None
    limits: InspectLimits
    resize: int | None = None
    keep_original: bool = False
    unless: str | None = None

    def __call__(self, body: bytes) -> Kept | None:
        """None for the bytes that are there already. Raises ImageRefused, and StoreError."""
        if self.unless is not None and hashlib.sha256(body).hexdigest() == self.unless:
            return None
        files: list[tuple[str, bytes | None]] = []
        resized = None
        if self.resize is None:
            inspection = inspect(body, self.limits)
        else:
            inspection, copy = inspect_and_resize(body, self.limits, self.resize)
            files.append((blob_key(copy.sha256, "jpeg"), copy.data))
            resized = ResizedFile(width=copy.width, height=copy.height, file_size=len(copy.data), sha256=copy.sha256)
        if resized is None or self.keep_original:
            files.insert(0, (blob_key(inspection.sha256, inspection.format), None))
        key, stands = files[0]
        crc = crc32(body if stands is None else stands)
        if self.folder is None:
            return Kept(inspection, key, crc, resized, tuple(files))
        store = _store(self.folder)
        for each, data in files:
            store.put_now(each, body if data is None else data)
        return Kept(inspection, key, crc, resized)


_store = cache(Store)


def alone() -> None:
    """Settle into a process that does nothing else."""
    cv2.setNumThreads(1)  # the decoders are the parallel part; OpenCV's own threads would only get into their way
    gc.freeze()
