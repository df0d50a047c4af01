"""What every container of a dataset shares: one file or folder that takes the files of the dataset one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gleanset.export.workspace import Growing, Workspace, blocks

Content = bytes | Path
"""What is in a file: its bytes, or the file on the disk that has them."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A finished container: where it lies, its size in bytes, and the SHA-256 of its bytes.

    A folder's size is that of all its files, and its SHA-256 that of its manifest.
    """

    path: Path
    size: int
    sha256: str


class Container(Protocol):
    """The same calls always write the same bytes, also if they are made in several lives: `state` is what the next
    wants for going on, beside the files of the workspace."""

    def __init__(self, place: Workspace, name: str, state: Mapping[str, Any]) -> None: ...

    def add(self, name: str, content: Content) -> None:
        """Write a file of the dataset; `name` is its path inside, with slashes."""
        ...

    def state(self) -> dict[str, Any]:
        """Asked at a checkpoint."""
        ...

    def finish(self) -> Whole:
        """Write the end."""
        ...


def size_of(content: Content) -> int:
    """In bytes."""
    return content.stat().st_size if isinstance(content, Path) else len(content)


def blocks_of(content: Content) -> Iterator[bytes]:
    """The bytes of the content in their order, never many at once."""
    return blocks(content, size_of(content)) if isinstance(content, Path) else iter((content,))


def write_into(file: Growing, content: Content) -> None:
    """Append the content."""
    for block in blocks_of(content):
        file.write(block)


def packed_file(place: Workspace, file: Growing) -> Whole:
    """What a container of one file is, now that this is whole."""
    path, sha256 = place.finished(file.path.name)
    assert sha256 is not None
    return Whole(path, file.size, sha256)
