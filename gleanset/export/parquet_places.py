"""Where in a file of Parquet its columns lie, and where each image (parquet.thrift: FileMetaData and PageHeader).

Arrow reads a group of rows as a whole, some 64 MB of images for one of them. But they stand in the file as they are,
each behind its length. And asking Arrow what a damaged directory says can end the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from gleanset.export.thrift import Struct, struct_in

Read = Callable[[int, int], bytes]
"""Bytes from a place on; fewer at the end."""

_END = 8
_LARGEST_DIRECTORY = 64 << 20
_LONGEST_HEAD = 4096
_UNCOMPRESSED = _DATA_PAGE = _PLAIN = 0


class ParquetBroken(ValueError):
    """A file is no Parquet, or its images are not stored as Gleanset stores them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column in a group of rows: `size` bytes from `start` on, or `unfolded` ones when they are unpacked."""

    path: str
    codec: int
    count: int
    unfolded: int
    size: int
    start: int


def chunks_of(read: Read, length: int) -> Iterator[Chunk]:
    """All chunks of a file of so many bytes, as its directory tells them. Raises ParquetBroken."""
    end = read(max(0, length - _END), _END)
    size = int.from_bytes(end[:4], "little")
    if not end.endswith(b"PAR1") or size > min(_LARGEST_DIRECTORY, length - _END):
        raise ParquetBroken("it has no directory at its end")
    directory, _ = _struct(read(length - _END - size, size))
    for group in _structs(directory, 4):
        for column in _structs(group, 1):
            told = column.get(3)
            if not isinstance(told, dict):
                raise ParquetBroken("its directory is damaged")
            steps = cast("list[bytes]", told.get(3) or [])
            path = ".".join(step.decode("utf-8", "replace") for step in steps)
            yield Chunk(path, *(_number(told, field) for field in (4, 5, 6, 7, 9)))


def images_of(read: Read, chunk: Chunk) -> Iterator[tuple[int, int]]:
    """Place and bytes of each value of a chunk that is neither compressed nor encoded. Raises ParquetBroken."""
    at, end, count = chunk.start, chunk.start + chunk.size, 0
    if chunk.codec != _UNCOMPRESSED or at < 0:
        raise ParquetBroken("its images are not stored as Gleanset stores them; datasets.load_dataset may read it")
    while at < end:
        head, taken = _struct(read(at, _LONGEST_HEAD))
        page, size = head.get(5), _number(head, 3)
        if _number(head, 1) != _DATA_PAGE or not isinstance(page, dict) or _number(page, 2) != _PLAIN:
            raise ParquetBroken("its images are not stored as Gleanset stores them; datasets.load_dataset may read it")
        at += taken
        stop = at + size
        place = at + 4 + _length(read, at)  # behind the levels, which would tell what is missing
        for _ in range(_number(page, 1)):
            value = _length(read, place)
            place += 4
            if place + value > min(stop, end):
                raise ParquetBroken("an image in it is cut off")
            yield place, value
            place += value
            count += 1
        if place != stop:
            raise ParquetBroken("a page of its images is damaged")
        at = stop
    if count != chunk.count or at != end:
        raise ParquetBroken("it has another number of images than it says")


def _length(read: Read, at: int) -> int:
    return int.from_bytes(read(at, 4), "little")


def _struct(data: bytes) -> tuple[Struct, int]:
    try:
        return struct_in(data)
    except ValueError as error:
        raise ParquetBroken(f"what it says of its pages cannot be read: {error}") from error


def _structs(struct: Struct, field: int) -> list[Struct]:
    found = struct.get(field)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ParquetBroken("its directory is damaged")
    return cast("list[Struct]", found)


def _number(struct: Struct, field: int) -> int:
    value = struct.get(field)
    if not isinstance(value, int):
        raise ParquetBroken("what it says of its pages is damaged")
    return value
