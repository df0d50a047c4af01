"""Exports made by hand, in every kind of package that is read, and with whatever may be wrong with them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

KINDS = ("zip", "deflated.zip", "tar", "tar.gz", "folder")

Files = list[tuple[str, bytes]]


def files_of(count: int = 20, **more: bytes) -> Files:
    """Pictures of a kind, a table and the manifest of all of them, as an export ends."""
    pictures = [bytes([n]) * (100 * n + 1) for n in range(count)]
    files = [(f"images/cat/{hashlib.sha256(data).hexdigest()}.png", data) for data in pictures]
    files += [("metadata.jsonl", b'{"file_name": "a"}\n'), *more.items()]
    return [*files, ("MANIFEST.sha256", manifest(files))]


def manifest(files: Iterable[tuple[str, bytes]]) -> bytes:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files).encode()


def rows(*rows: Mapping[str, Any]) -> Files:
    """An export that is nothing but its table."""
    files = [("metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())]
    return [*files, ("MANIFEST.sha256", manifest(files))]


def package(folder: Path, kind: str, files: Files) -> str:
    """The files in a package of this kind; its path."""
    path = folder / f"export.{kind}"
    if kind == "folder":
        for name, data in files:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    elif kind.endswith("zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if kind == "deflated.zip" else zipfile.ZIP_STORED) as made:
            for name, data in files:
                made.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as made:
            for name, data in files:
                made.addfile(member(name, len(data)), io.BytesIO(data))
    return str(path)


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = size, kind, target
    return entry


def liar(folder: Path, size: int) -> str:
    """A small tar.gz whose only file says that it is much larger."""
    path = folder / "liar.tar.gz"
    path.write_bytes(gzip.compress(member("big", size).tobuf(tarfile.PAX_FORMAT) + bytes(1024)))
    return str(path)
