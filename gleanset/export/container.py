"""What every container of a dataset shares: one file or folder that takes the files of the dataset one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gleanset.copying import Part, Stored
from gleanset.export.workspace import Growing, Workspace, blocks

Content = Part | Path
"""What is in a file: its bytes, a stored image, or the file on the disk that has them."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A finished container: where it lies, and its size in bytes; a folder's is that of all its files."""

    path: Path
    size: int


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


def blocks_of(content: Content) -> Iterator[bytes | memoryview]:
    """The bytes of the content in their order, never many at once; a block is good until the next is asked for."""
    if isinstance(content, Path):
        return blocks(content, size_of(content))
    return content.blocks() if isinstance(content, Stored) else iter((content,))


def write_into(file: Growing, content: Content) -> None:
    """Append the content."""
    for part in parts_of(content):
        file.write(part)


def parts_of(content: Content) -> Iterator[Part]:
    """The same, but a stored image is left to whoever copies it."""
    return blocks(content, size_of(content)) if isinstance(content, Path) else iter((content,))


def packed_file(place: Workspace, file: Growing) -> Whole:
    """What a container of one file is, now that this is whole."""
    return Whole(place.finished(file.path.name), file.size)
