"""Where in a file of Parquet its columns lie, and where each image (parquet.thrift: FileMetaData and PageHeader).

Arrow reads a group of rows as a whole, some 64 MB of images for one of them. But they stand in the file as they are,
each behind its length. And asking Arrow what a damaged directory says can end the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, cast

from gleanset.export.thrift import Struct, Value, struct_in

Read = Callable[[int, int], bytes]
"""Bytes from a place on; fewer at the end."""

_END = 8
_LARGEST_DIRECTORY = 64 << 20
_LONGEST_HEAD = 32 << 10
"""Bytes of what stands before a page; among them may be its least and its largest value."""
_MOST_IN_HEAD = 1000
_MOST_IN_DIRECTORY, _PER_VALUE = 1_000_000, 2000
"""Values in it: so many, and one more for so many bytes of the file. Ours have one for 8,000, with 28 columns."""
_MOST_COLUMNS = 1000
"""With their groups. Some Arrows go down into them by recursion, which deep ones end together with the process."""
_UNCOMPRESSED = _DATA_PAGE = _PLAIN = 0
_DICTIONARY_PAGE, _DATA_PAGE_2 = 2, 3
_PACED = (0, 2, 3, 8)
"""Encodings of which a page's bytes bound each value: plain, by numbers in a dictionary, and repeated ones."""
_HEADS = {_DATA_PAGE: 5, _DICTIONARY_PAGE: 7, _DATA_PAGE_2: 8}
"""The field with what a page of a kind says beside its size."""
_LARGEST = (1 << 31) - 1
"""Of a number about a page; others cut larger ones to 32 bits."""
_LEAST_KNOWN = 4
"""Bytes of the least value in a dictionary."""


class ParquetBroken(ValueError):
    """A file is no Parquet, or its images are not stored as Gleanset stores them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column in a group of rows: `size` bytes from `start` on, or `unfolded` ones when they are unpacked. The values
    begin at `values`, behind their dictionary when there is one."""

    path: str
    codec: int
    count: int
    unfolded: int
    size: int
    start: int
    values: int


def chunks_of(read: Read, length: int) -> Iterator[Chunk]:
    """All chunks of a file of so many bytes, as its directory tells them. They lie in it, and are no more than it has.
    Raises ParquetBroken."""
    end = read(max(0, length - _END), _END)
    size = int.from_bytes(end[:4], "little")
    if not end.endswith(b"PAR1") or size > min(_LARGEST_DIRECTORY, length - _END):
        raise ParquetBroken("it has no directory at its end")
    directory, _ = _struct(read(length - _END - size, size), _MOST_IN_DIRECTORY + length // _PER_VALUE)
    if len(_structs(directory, 2)) > _MOST_COLUMNS:
        raise ParquetBroken("it has more columns than any export")
    left = length
    for group in _structs(directory, 4):
        for column in _structs(group, 1):
            chunk = _chunk(_a_struct(column.get(3)))
            left -= chunk.size
            if chunk.start + chunk.size > length or left < 0:
                raise ParquetBroken("its columns are larger than itself")
            yield chunk


def _chunk(told: Struct) -> Chunk:
    steps = told.get(3)
    if not isinstance(steps, list):
        _damaged()
    path = ".".join(step.decode("utf-8", "replace") if isinstance(step, bytes) else _damaged() for step in steps)
    codec, count, unfolded, size, values = (_number(told, field) for field in (4, 5, 6, 7, 9))
    dictionary = _number(told, 11) if 11 in told else 0
    return Chunk(path, codec, count, unfolded, size, min(dictionary, values) if dictionary else values, values)


def check_pages(read: Read, chunk: Chunk) -> None:
    """Raises ParquetBroken unless its pages are as many bytes, and have as many values, as the directory says.

    Arrow makes room for a page by what stands before it, 2 GB if it says so, whatever the directory says.
    """
    at, end, left, count = chunk.start, chunk.start + chunk.size, chunk.unfolded, 0
    while at < end:
        head, taken = _struct(read(at, min(_LONGEST_HEAD, end - at)))
        kind, unfolded, size = (_number(head, field) for field in (1, 2, 3))
        about = _a_struct(head.get(_HEADS[kind])) if kind in _HEADS else _damaged()
        values = _number(about, 1)
        if max(unfolded, size, values) > _LARGEST:
            _damaged()
        if _number(about, 4 if kind == _DATA_PAGE_2 else 2) not in _PACED:
            raise ParquetBroken("it has values encoded as in no export")
        left -= taken + unfolded
        if left < 0 or (kind == _DICTIONARY_PAGE and values * _LEAST_KNOWN > unfolded):
            raise ParquetBroken("a page of it says that it is larger than its column")
        first, at = at == chunk.start, at + taken + size
        if first and chunk.start < chunk.values and (kind != _DICTIONARY_PAGE or at != chunk.values):
            _damaged()
        if kind != _DICTIONARY_PAGE:
            count += values
        elif not first:
            _damaged()
    if count != chunk.count or at != end:
        raise ParquetBroken("it has another number of values than it says")


def images_of(read: Read, chunk: Chunk) -> Iterator[tuple[int, int]]:
    """Place and bytes of each value of a chunk that is neither compressed nor encoded. Raises ParquetBroken."""
    at, end, count = chunk.start, chunk.start + chunk.size, 0
    if chunk.codec != _UNCOMPRESSED or at != chunk.values:
        raise ParquetBroken("its images are not stored as Gleanset stores them; datasets.load_dataset may read it")
    while at < end:
        head, taken = _struct(read(at, min(_LONGEST_HEAD, end - at)))
        page, size = head.get(_HEADS[_DATA_PAGE]), _number(head, 3)
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


def _struct(data: bytes, most: int = _MOST_IN_HEAD) -> tuple[Struct, int]:
    try:
        return struct_in(data, most)
    except ValueError as error:
        raise ParquetBroken(f"what it says of its pages cannot be read: {error}") from error


def _structs(struct: Struct, field: int) -> list[Struct]:
    found = struct.get(field)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        _damaged()
    return cast("list[Struct]", found)


def _a_struct(value: Value) -> Struct:
    return value if isinstance(value, dict) else _damaged()


def _number(struct: Struct, field: int) -> int:
    """All that is asked for are sizes and places."""
    value = struct.get(field)
    return value if isinstance(value, int) and value >= 0 else _damaged()


def _damaged() -> NoReturn:
    raise ParquetBroken("what it says of its pages is damaged")
