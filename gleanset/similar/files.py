"""Arrays in a file that is whole or is not there: written beside its name, checked when opened, mapped when read."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"gleanset"
_START = struct.Struct("<8sQI")  # the magic bytes, the length of the head, the CRC of the length and all that follows
_ALIGNED = 64

Arrays = Mapping[str, NDArray[Any]]


class Damaged(Exception):
    """A file is not what was written."""


def write(path: Path, note: Mapping[str, Any], arrays: Arrays) -> None:
    """On the disk when this returns; a process that is killed meanwhile leaves what was there. Raises OSError."""
    places: list[tuple[str, str, tuple[int, ...], int]] = []
    parts: list[memoryview] = []
    at = 0
    for name, array in arrays.items():
        places.append((name, array.dtype.str, array.shape, at))
        parts += [_bytes_of(array), _bytes_of(np.zeros(-array.nbytes % _ALIGNED, np.uint8))]
        at += -(-array.nbytes // _ALIGNED) * _ALIGNED
    head = json.dumps({"note": note, "arrays": places}).encode()
    head += b" " * (-(_START.size + len(head)) % _ALIGNED)
    crc = 0
    for part in (len(head).to_bytes(8), head, *parts):
        crc = zlib.crc32(part, crc)
    new = path.with_name(f".{path.name}")
    with new.open("wb") as file:
        file.write(_START.pack(_MAGIC, len(head), crc))
        file.write(head)
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> tuple[Mapping[str, Any], dict[str, NDArray[Any]]]:
    """The note, and the arrays as maps of the file. Raises Damaged, also where there is no such file."""
    try:
        data = np.memmap(path, np.uint8, "r")
        magic, length, crc = _START.unpack(data[: _START.size].tobytes())
        if magic != _MAGIC or zlib.crc32(data[_START.size :].data, zlib.crc32(length.to_bytes(8))) != crc:
            raise Damaged(f"{path} is damaged.")
        begin = _START.size + length
        head = cast("dict[str, Any]", json.loads(data[_START.size : begin].tobytes()))
        arrays = {name: _array(data, dtype, shape, begin + at) for name, dtype, shape, at in head["arrays"]}
        return head["note"], arrays
    except (OSError, ValueError, LookupError, TypeError, RecursionError, struct.error) as error:
        raise Damaged(f"{path} cannot be read: {error}") from error


def remove_others(folder: Path, names: Iterable[str]) -> None:
    """Files that nothing refers to any more, and what a killed process has left."""
    kept = set(names)
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _array(data: NDArray[np.uint8], dtype: str, shape: list[int], at: int) -> NDArray[Any]:
    kind = np.dtype(dtype)
    size = kind.itemsize * int(np.prod(shape, dtype=np.int64))
    return data[at : at + size].view(kind).reshape(shape)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
