"""Archives as datasets are packed in, read in place: any file at any time, from any thread or forked process.

Nothing is ever unpacked under a name that an archive chooses. Still, one whose names lead out of a folder, or whose
files are links or devices, is not of Gleanset's making, and is refused as a whole.
"""

from __future__ import annotations

import gzip
import os
import re
import struct
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from gleanset.client.coming import Coming
from gleanset.client.windows import Window
from gleanset.errors import DatasetError

_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""How packed files begin."""
MAX_FILE = 2 << 30
"""Bytes of the largest image or paper that is read into memory at once."""
_MOST_UNPACKED = 20
_SPARE = 64 << 20
_AT_ONCE = 1 << 14
_LOCAL = struct.Struct("<4s22xHH")
_ENCRYPTED = 1
_UNSAFE = re.compile(r"^(?:[/\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)|[\0\\]")


BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)
"""What reading an archive raises that is none, or none any more, beside OSError."""


class Member(NamedTuple):
    """Where a file lies: `stored` bytes from `at` on; in a zip from its local header on, but for those `within` a file
    in it. `size` is its own."""

    at: int
    stored: int
    size: int
    deflated: bool
    within: bool = False


class Archive:
    """A zip or a plain tar. `members` are the files in it, by name. `name` is what it is called in errors.

    One that is still `coming` is read as far as it is there, and waited for from there on. Raises DatasetError for what
    cannot be read, and what the download raises.
    """

    def __init__(self, path: Path, name: str | None = None, coming: Coming | None = None) -> None:
        self.path, self.name = path, name or path.name
        opened = coming.opened() if coming is not None else None
        self._coming = coming if opened is not None else None
        try:
            self._file = opened[0] if opened is not None else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DatasetError(f"{name or path} cannot be opened: {error.strerror or error}.") from error
        self._closing = weakref.finalize(self, os.close, self._file)
        self._length = opened[1] if opened is not None else os.fstat(self._file).st_size
        try:
            self._zipped = self._reader().read(2) == b"PK"  # as `verify` tells: a zip may hide in any other file
            self.members = dict(self._of_zip() if self._zipped else self._of_tar())
        except (*BROKEN, OSError) as error:
            raise DatasetError(f"{self.name} is no zip or tar that can be read: {error}.") from error

    def _reader(self) -> BufferedReader:
        return BufferedReader(Window(self, 0, self._length), _AT_ONCE)

    def close(self) -> None:
        self._closing()

    def _of_zip(self) -> Iterator[tuple[str, Member]]:
        with zipfile.ZipFile(self._reader()) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                kind = (info.external_attr >> 16) & 0o170000
                odd = info.flag_bits & _ENCRYPTED or kind not in (0, 0o100000)
                self.check(info.filename, odd or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
                deflated = info.compress_type == zipfile.ZIP_DEFLATED
                yield info.filename, Member(info.header_offset, info.compress_size, info.file_size, deflated)

    def _of_tar(self) -> Iterator[tuple[str, Member]]:
        yield from tar_members(self._reader(), self.check)

    def check(self, name: str, odd: object) -> None:
        """Raises DatasetError for a file that is not what Gleanset packs."""
        if odd or not name or _UNSAFE.search(name):
            raise DatasetError(f"{self.name} is no dataset: {name!r} in it is not what Gleanset packs.")

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises DatasetError when it is not there, or damaged."""
        member = self.members.get(name)
        if member is None:
            raise DatasetError(f"{self.name} has no file {name}.")
        return self.read_member(name, member)

    def read_member(self, name: str, member: Member) -> bytes:
        """The same, for who knows where it lies."""
        if member.size > MAX_FILE:
            raise DatasetError(f"{name} in {self.name} has {member.size:,} bytes, which is more than is read here.")
        data = self.slice(self.start(name, member), member.stored)
        if member.deflated:
            data = _inflated(data, member.size)
        if data is None or len(data) != member.size:
            raise DatasetError(f"{name} in {self.name} is damaged.")
        return data

    def start(self, name: str, member: Member) -> int:
        """Where the file's bytes begin."""
        if not self._zipped or member.within:
            return member.at
        head = self.slice(member.at, _LOCAL.size)
        if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
            raise DatasetError(f"{name} in {self.name} is damaged.")
        _, name_length, extra_length = _LOCAL.unpack(head)
        return member.at + _LOCAL.size + name_length + extra_length

    def slice(self, at: int, length: int) -> bytes:
        """Bytes of the archive; fewer at its end."""
        length = max(0, min(length, self._length - at))
        if self._coming is not None:
            self._coming.wait(at, length)
        if not self._closing.alive:
            raise DatasetError(f"{self.name} is closed.")
        try:
            data = os.pread(self._file, length, at)
            while len(data) < length:  # more than the kernel gives at once
                more = os.pread(self._file, length - len(data), at + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise DatasetError(f"{self.name} cannot be read: {error.strerror or error}.") from error
        return data

    def expect(self, at: int, length: int) -> None:
        """So many bytes are about to be read from there on, and come first when they are not there yet."""
        if self._coming is not None:
            self._coming.ask((at, length))


def tar_members(file: IO[bytes], check: Callable[[str, bool], None]) -> Iterator[tuple[str, Member]]:
    """The files of a tar. `check` is asked of each, with whether it is anything but a plain file."""
    with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive:
        known = cast("list[object]", cast("Any", archive).members)
        while (info := archive.next()) is not None:
            if info.size < 0:  # it would be met again and again
                raise tarfile.ReadError("a file of less than no bytes")
            known.clear()  # nobody asks it for them, and there may be millions
            if info.isdir():
                continue
            check(info.name, not info.isreg() or info.issparse())
            yield info.name, Member(info.offset_data, info.size, info.size, False)


def _inflated(data: bytes, size: int) -> bytes | None:
    """None for what does not inflate to that size, however much more there is."""
    inflate = zlib.decompressobj(-15)
    try:
        inflated = inflate.decompress(data, size + 1)
    except zlib.error:
        return None
    return inflated


def packing(path: Path) -> str | None:
    """What a tar is packed with: gzip or zstd, and None for what can be read in place."""
    with path.open("rb") as file:
        start = file.read(4)
    return next((name for magic, name in _PACKED.items() if start.startswith(magic)), None)


def unpack(packed: Path, target: Path, how: str) -> None:
    """A packed tar as one that can be read in place. Raises DatasetError, and OSError when it cannot be written."""
    most = _MOST_UNPACKED * packed.stat().st_size + _SPARE
    try:
        with _opened(packed, how) as source, target.open("wb") as plain:
            while piece := source.read(1 << 20):
                most -= len(piece)
                if most < 0:
                    raise DatasetError("The export unpacks to far more than a dataset of its size would have.")
                plain.write(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"The export cannot be unpacked: {error}.") from error


def _opened(packed: Path, how: str) -> IO[bytes]:
    if how == "gzip":
        return cast("IO[bytes]", gzip.open(packed))
    import pyarrow  # pyright: ignore[reportMissingTypeStubs] - a tenth of a second, for one format

    return cast("IO[bytes]", cast("Any", pyarrow).input_stream(str(packed), compression=how))
