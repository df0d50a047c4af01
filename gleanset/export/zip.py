"""A dataset as one ZIP file, of any number and size of files (APPNOTE 6.3.10, zip64 where it is needed).

Images are stored, not deflated: they are compressed already. Sizes and sums are known before a file is written, so
nothing is ever gone back to; and the directory, which comes last, grows on the disk beside the archive: Python's own
zipfile keeps it in memory and could not go on after a kill.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from isal.isal_zlib import crc32  # pyright: ignore[reportUnknownVariableType]

from gleanset.copying import Stored
from gleanset.export.container import Content, Whole, blocks_of, packed_file, size_of, write_into
from gleanset.export.workspace import Workspace

_UTF8 = 0x800
_STORED = 0
_DATE = 1 << 5 | 1  # 1980-01-01, the earliest that ZIP knows: the same entries give the same bytes
_UNIX_0644 = 0o100644 << 16
_MOST = 0xFFFF_FFFF
_MOST_FILES = 0xFFFF
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")


class Zip:
    """See `gleanset.export.base.Container`."""

    def __init__(self, place: Workspace, name: str, state: Mapping[str, int]) -> None:
        self._place, self._name = place, name
        self._archive = place.growing(name)
        self._directory = place.growing(f"{name}.directory")
        self._files = state.get("files", 0)

    def add(self, name: str, content: Content) -> None:
        size = size_of(content)
        encoded, start, large = name.encode(), self._archive.size, size >= _MOST
        common = (_UTF8, _STORED, 0, _DATE, _crc32(content), min(size, _MOST), min(size, _MOST), len(encoded))
        extra = struct.pack("<2H2Q", 1, 16, size, size) if large else b""
        self._archive.write(_LOCAL.pack(b"PK\3\4", 45 if large else 20, *common, len(extra)) + encoded + extra)
        write_into(self._archive, content)
        self._list(encoded, common, start, [size, size] if large else [])
        self._files += 1

    def _list(self, name: bytes, common: tuple[int, ...], start: int, beyond: list[int]) -> None:
        """An entry of the directory; numbers beyond 32 bits stand in its extra field."""
        if start >= _MOST:
            beyond = [*beyond, start]
        extra = struct.pack(f"<2H{len(beyond)}Q", 1, 8 * len(beyond), *beyond) if beyond else b""
        needed = 45 if beyond else 20
        tail = (len(extra), 0, 0, 0, _UNIX_0644, min(start, _MOST))
        self._directory.write(_CENTRAL.pack(b"PK\1\2", 3 << 8 | 45, needed, *common, *tail) + name + extra)

    def state(self) -> dict[str, int]:
        return {"files": self._files}

    def finish(self) -> Whole:
        start, length = self._archive.size, self._directory.size
        write_into(self._archive, self._place.finished(f"{self._name}.directory"))
        if self._files >= _MOST_FILES or start >= _MOST or length >= _MOST:
            counts = (self._files, self._files, length, start)
            end = _END_64.pack(b"PK\6\6", 44, 3 << 8 | 45, 45, 0, 0, *counts)
            self._archive.write(end + _LOCATOR_64.pack(b"PK\6\7", 0, self._archive.size, 1))
        files = min(self._files, _MOST_FILES)
        self._archive.write(_END.pack(b"PK\5\6", 0, 0, files, files, min(length, _MOST), min(start, _MOST), 0))
        return packed_file(self._place, self._archive)


def _crc32(content: Content) -> int:
    if isinstance(content, Stored) and content.crc32 is not None:
        return content.crc32
    crc = 0
    for block in blocks_of(content):
        crc = crc32(block, crc)
    return crc
