"""The files in a zip, one after the other, without holding its list of them: an export may have millions.

`zipfile` keeps an object for each. The archive may be hostile: lengths are bounded, and both of the places that name a
file have to agree.
"""

from __future__ import annotations

import io
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

from gleanset.errors import ExportDamaged

_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_FULL, _FULL_SHORT = 0xFFFFFFFF, 0xFFFF
"""What stands where a number is too large for its place, and is in the extra field instead."""
_WINDOW = 1 << 20
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 1, 0x800


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file as the list at the archive's end tells of it. `regular`: neither a link nor a device."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    at: int
    regular: bool

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")


def zip_entries(file: BinaryIO, size: int) -> Iterator[ZipEntry]:
    """What the archive of `size` bytes lists, in that order. Raises ExportDamaged."""
    count, at, stop, behind = _directory(file, size)
    window, start = b"", at
    for _ in range(count):
        if at + _ENTRY.size + 3 * _FULL_SHORT > start + len(window) and start + len(window) < stop:
            file.seek(at)
            window, start = file.read(min(_WINDOW, stop - at)), at
        entry, length = _entry(window, at - start)
        yield entry
        at += length
    if behind:
        raise ExportDamaged(f"{behind:,} bytes lie behind the end of the archive, where an export has none.")


def open_entry(file: BinaryIO, entry: ZipEntry) -> IO[bytes]:
    """Its content, to be read before anything else of the file. Reading raises ExportDamaged."""
    return cast("IO[bytes]", io.BufferedReader(_Content(file, entry), 1 << 18))


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int, int]:
    """How many entries are listed, from where to where, and the bytes behind the archive: a comment is some, too."""
    file.seek(max(0, size - _LONGEST_COMMENT - _END.size))
    tail = file.read(_LONGEST_COMMENT + _END.size)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or found + _END.size > len(tail):
        raise ExportDamaged("The archive has no end: it is cut off.")
    _, _, _, _, count, length, at, _ = cast(
        "tuple[bytes, int, int, int, int, int, int, int]", _END.unpack_from(tail, found)
    )
    place = size - len(tail) + found
    count, length, at, place = _directory64(file, place) or (count, length, at, place)
    if at + length != place or count * _ENTRY.size > length:
        raise ExportDamaged("The archive's list of its files is not where it should be.")
    return count, at, at + length, len(tail) - found - _END.size


def _directory64(file: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    """Count, length and place of the list in an archive with more than 65,535 files or 4 GB, and where it has to end;
    None for a smaller one."""
    file.seek(max(0, end - _END64_PLACE.size))
    head = file.read(_END64_PLACE.size)
    if not head.startswith(b"PK\6\7"):
        return None
    place = cast("int", _END64_PLACE.unpack(head)[2])
    file.seek(place)
    record = file.read(_END64.size)
    if len(record) < _END64.size or not record.startswith(b"PK\6\6"):
        raise ExportDamaged("The archive's end is damaged.")
    count, length, at = cast("tuple[int, int, int]", _END64.unpack(record)[-3:])
    return count, length, at, place


def _entry(window: bytes, at: int) -> tuple[ZipEntry, int]:
    """The entry that begins there, and the bytes it takes."""
    head = window[at : at + _ENTRY.size]
    if len(head) < _ENTRY.size or not head.startswith(b"PK\1\2"):
        raise ExportDamaged("The archive's list of its files is damaged.")
    (
        _,
        made,
        _,
        flags,
        method,
        _,
        _,
        crc,
        packed,
        size,
        name_length,
        extra_length,
        comment,
        _,
        _,
        attributes,
        place,
    ) = cast("tuple[bytes, *tuple[int, ...]]", _ENTRY.unpack(head))
    start = at + _ENTRY.size
    raw_name = window[start : start + name_length]
    extra = window[start + name_length : start + name_length + extra_length]
    size, packed, place = _large(extra, (size, packed, place))
    name = raw_name.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    kind = stat.S_IFMT(attributes >> 16) if made >> 8 == 3 else 0
    regular = kind in (0, stat.S_IFREG, stat.S_IFDIR)
    entry = ZipEntry(raw_name, name, flags, method, crc, packed, size, place, regular)
    return entry, _ENTRY.size + name_length + extra_length + comment


def _large(extra: bytes, numbers: tuple[int, int, int]) -> tuple[int, ...]:
    """The numbers, with those that had no room taken from the extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            large = [each for (each,) in struct.iter_unpack("<Q", extra[at + 4 : at + 4 + length // 8 * 8])]
            return tuple(large.pop(0) if number == _FULL and large else number for number in numbers)
        at += 4 + length
    return numbers


class _Content(io.RawIOBase):
    """The unpacked bytes of an entry. They are as many, and have the checksum, that the list says."""

    def __init__(self, file: BinaryIO, entry: ZipEntry) -> None:
        self._file, self._entry = file, entry
        self._packed, self._left, self._crc = entry.packed, entry.size, 0
        self._inflate = zlib.decompressobj(-15) if entry.method == _DEFLATED else None
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self._begun:
            self._begin()
        data = self._next(len(buffer))
        self._crc = zlib.crc32(data, self._crc)
        self._left -= len(data)
        if not data and (self._left or self._crc != self._entry.crc):
            raise ExportDamaged(f"{self._entry.name} ends too early, or its checksum is not the archive's.")
        buffer[: len(data)] = data
        return len(data)

    def _begin(self) -> None:
        """Go to the first byte, behind the file's own head."""
        self._begun = True
        file, entry = self._file, self._entry
        if entry.flags & _ENCRYPTED or entry.method not in (_STORED, _DEFLATED):
            raise ExportDamaged(f"{entry.name} is encrypted, or packed in a way that exports never are.")
        file.seek(entry.at)
        head = file.read(_LOCAL.size)
        if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
            raise ExportDamaged(f"{entry.name} is not where the archive's list says.")
        name, extra = cast("tuple[int, int]", _LOCAL.unpack(head)[-2:])
        if file.read(name) != entry.raw_name:
            raise ExportDamaged(f"{entry.name} has another name at its place than in the archive's list.")
        file.seek(extra, io.SEEK_CUR)

    def _next(self, most: int) -> bytes:
        most = min(most, self._left)
        if self._inflate is None:
            return self._take(most)
        data = b""
        while most and not data and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._take(1 << 16)
            try:
                data = self._inflate.decompress(packed, most)
            except zlib.error as error:
                raise ExportDamaged(f"{self._entry.name} cannot be unpacked: {error}.") from error
            if not packed and not data:  # with all of the input, zlib may still hold some of the output
                break
        return data

    def _take(self, most: int) -> bytes:
        data = self._file.read(min(most, self._packed))
        self._packed -= len(data)
        return data
