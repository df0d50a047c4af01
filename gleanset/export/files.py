"""The files of a dataset while it is being made: images go into the container at once, papers grow until the end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gleanset.export.container import Container, Content, Whole, blocks_of, size_of
from gleanset.export.workspace import Growing, Workspace

MANIFEST = "MANIFEST.sha256"


@dataclass(frozen=True, slots=True)
class File:
    """A file that is in the container: its SHA-256 in hexadecimal digits, and its bytes."""

    sha256: str
    size: int


class Files:
    """What layouts and papers write to. Every file ends up in the manifest, in the format of sha256sum.

    `written`: the tables, shards and other files that grew on the disk before they went into the container, by name.
    """

    def __init__(self, place: Workspace, container: Container, state: Mapping[str, Any]) -> None:
        self.place = place
        self.written = {name: File(*each) for name, each in state.items()}
        self._container = container
        self._manifest = place.growing(MANIFEST)
        self._texts: dict[str, Growing] = {}

    def add(self, name: str, content: Content, sha256: str | None = None) -> None:
        """Write a whole file; `sha256` of its bytes where it is known already."""
        sha256 = sha256 or _sha256(content)
        if isinstance(content, Path):
            self.written[name] = File(sha256, size_of(content))
        self._container.add(name, content)
        self._manifest.write(f"{sha256}  {name}\n".encode())

    def text(self, name: str) -> Text:
        """A file of text that grows beside the container, and goes into it at the end, in the order of the asking."""
        self._texts[name] = growing = self.place.growing(name.replace("/", "%2F"))
        return Text(growing)

    def close(self, name: str) -> None:
        """Put a growing text into the container now."""
        growing = self._texts.pop(name)
        path = self.place.finished(growing.path.name)
        self.add(name, path)
        self.place.spend(path)

    def close_all(self) -> None:
        """Put the texts that still grow into the container now."""
        for name in list(self._texts):
            self.close(name)

    def finish(self) -> tuple[Whole, str]:
        """Write the texts that still grow, the manifest, and the container's end; the SHA-256 of the manifest, in
        hexadecimal digits, stands for all files."""
        self.close_all()
        manifest = self.place.finished(MANIFEST)
        self._container.add(MANIFEST, manifest)
        return self._container.finish(), sha256_of(manifest)

    def state(self) -> Mapping[str, Any]:
        """That of the container, and which files are written."""
        written = {name: [each.sha256, each.size] for name, each in self.written.items()}
        return {"container": self._container.state(), "written": written}


class Text:
    """A file of UTF-8 text, written piece by piece; also what csv writes to."""

    def __init__(self, growing: Growing) -> None:
        self._growing = growing
        self.is_new = not growing.size

    def write(self, text: str) -> None:
        """Append."""
        self._growing.write(text.encode())

    def write_bytes(self, text: bytes) -> None:
        """Append what is in UTF-8 already."""
        self._growing.write(text)


def _sha256(content: Content) -> str:
    digest = hashlib.sha256()
    for block in blocks_of(content):
        digest.update(block)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal digits."""
    return _sha256(path)
