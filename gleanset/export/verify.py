"""Whether an export is as its manifest says: every file there, its bytes untouched, and nothing else.

The files are read once, in whatever order they lie; the manifest may come first or last. What is kept in memory of a
file is 16 bytes of a hash, and nothing of it when it is as it should be: names wait in a temporary file until one is
needed for the report. Of two manifests the last counts, which is what unpacking leaves. This tells of damage, not of
forgery: whoever can alter the files can alter the manifest. Compare the manifest's own hash with one you have from
elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, cast

from gleanset.errors import ExportDamaged, NotAnExport
from gleanset.export.paper_names import MANIFEST
from gleanset.export.portable import Alike, is_portable
from gleanset.export.reading import Package, Part, open_package

MOST_LISTED = 1000
_LONGEST_LINE = 70_000  # a hash and the longest name that a zip can hold
_MOST_MANIFEST = 4 * 1024**3
_UNREADABLE = "0" * 64
_LINE = re.compile(rb"([0-9a-f]{64})  ([^\n]+)\n?")

Progress = Callable[[int, int], None]
"""Told of files and bytes that are read."""


@dataclass(slots=True)
class Listing:
    """How many files, and the names of the first of them."""

    count: int = 0
    files: list[str] = field(default_factory=list[str])

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.files) < MOST_LISTED:
            self.files.append(name)


@dataclass(slots=True)
class Verified:
    """What came of it. `files` and `bytes` were read; `damage` is why reading ended early.

    `unsafe`: links, devices, and names that lead elsewhere. `repeated`: names that the package holds twice.
    `not_portable`: names that Windows or macOS cannot unpack as they are, which is no damage.
    """

    files: int = 0
    bytes: int = 0
    manifest_sha256: str | None = None
    missing: Listing = field(default_factory=Listing)
    altered: Listing = field(default_factory=Listing)
    additional: Listing = field(default_factory=Listing)
    repeated: Listing = field(default_factory=Listing)
    unsafe: Listing = field(default_factory=Listing)
    damage: str | None = None
    not_portable: Listing = field(default_factory=Listing)

    @property
    def listings(self) -> dict[str, Listing]:
        """By what is wrong with the files."""
        names = ("missing", "altered", "additional", "repeated", "unsafe")
        return {name: getattr(self, name) for name in names}

    @property
    def sound(self) -> bool:
        return self.damage is None and not any(listing.count for listing in self.listings.values())


def verify(package: Package, progress: Progress = lambda _files, _bytes: None) -> Verified:
    """Read all of it. Raises NotAnExport when it holds no manifest; whatever else is wrong is in the answer."""
    found = Verified()
    with TemporaryFile() as seen, TemporaryFile() as manifest:
        alike = Alike()
        keys = _read(package, found, alike, seen, manifest, progress)
        if found.manifest_sha256 is None:
            if found.damage is not None:
                return found
            raise NotAnExport(f"{package.name} holds no {MANIFEST}: it is cut off, or no export of Gleanset.")
        try:
            _compare(found, keys, seen, manifest)
            for _, name in _lines(seen):
                if alike.has(_shown(name)):
                    found.not_portable.add(_shown(name))
        except ExportDamaged as damage:
            found.damage = str(damage)
    return found


def is_export(place: str, sha256: str, *, folder: bool | None = None) -> bool:
    """Whether there lies, whole and sound, the export whose manifest has this SHA-256 (lower-case hex). Blocks.
    `place` and `folder` as `open_package` takes them."""
    try:
        found = verify(open_package(place, folder=folder))
    except NotAnExport:
        return False
    return found.sound and found.manifest_sha256 == sha256


def _read(
    package: Package, found: Verified, alike: Alike, seen: IO[bytes], manifest: IO[bytes], progress: Progress
) -> set[bytes]:
    """Hash every file. Gives a key of each name and hash; `seen` gets them in full, in the manifest's own form."""
    keys: set[bytes] = set()
    try:
        for part in package.parts():
            name = part.name.encode("utf-8", "surrogateescape")
            if not part.is_safe or b"\n" in name:
                found.unsafe.add(part.name)
                continue
            if part.name == MANIFEST:
                if found.manifest_sha256 is not None:
                    found.repeated.add(MANIFEST)
                found.manifest_sha256 = _hashed(part, found, manifest, progress)
                continue
            try:
                digest = _hashed(part, found, None, progress)
            except ExportDamaged:
                digest = _UNREADABLE  # which no file has, so the manifest says otherwise
            if not is_portable(part.name):
                found.not_portable.add(part.name)
            key = _key(digest.encode(), name)
            if key in keys:
                found.repeated.add(part.name)
            else:
                alike.note(_shown(name))
            keys.add(key)
            seen.write(f"{digest}  ".encode() + name + b"\n")
    except ExportDamaged as damage:
        found.damage = str(damage)
    return keys


def _hashed(part: Part, found: Verified, copy: IO[bytes] | None, progress: Progress) -> str:
    digest = hashlib.sha256()
    if copy is not None:
        if part.size > _MOST_MANIFEST:
            raise ExportDamaged(f"{MANIFEST} is longer than any export's.")
        copy.seek(0)
        copy.truncate()
    for block in part.blocks():
        digest.update(block)
        found.bytes += len(block)
        if copy is not None:
            copy.write(block)
        progress(found.files, found.bytes)
    found.files += 1
    return digest.hexdigest()


def _compare(found: Verified, keys: set[bytes], seen: IO[bytes], manifest: IO[bytes]) -> None:
    """Take the keys that are as they should be off both sides, and name what is left."""
    wrong: set[bytes] = set()
    for digest, name in _lines(manifest):
        key = _key(digest, name)
        if key in keys:
            keys.discard(key)
        else:
            wrong.add(_key(b"", name))
    if keys:
        met = _right_once(keys, wrong, seen, manifest)
        for digest, name in _lines(seen):
            if _key(digest, name) not in keys:
                continue
            key = _key(b"", name)
            listing = found.altered if key in wrong else found.repeated if key in met else found.additional
            listing.add(_shown(name))
            wrong.discard(key)
            met.add(key)
    if wrong:
        for _, name in _lines(manifest):
            key = _key(b"", name)
            if key in wrong:
                wrong.discard(key)
                found.missing.add(_shown(name))


def _right_once(keys: set[bytes], wrong: set[bytes], seen: IO[bytes], manifest: IO[bytes]) -> set[bytes]:
    """The names of files that are left over although the manifest has no fault to find with that name."""
    left = {_key(b"", name) for digest, name in _lines(seen) if _key(digest, name) in keys} - wrong
    return left.intersection(_key(b"", name) for _, name in _lines(manifest)) if left else left


def _lines(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Hash and name of each line, from the first on."""
    file.seek(0)
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        fields = _LINE.fullmatch(line)
        if fields is None:
            raise ExportDamaged(f"Line {number} of {MANIFEST} is no hash with the name of a file.")
        yield cast("tuple[bytes, bytes]", fields.groups())


def _key(digest: bytes, name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=16, key=digest).digest()


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
