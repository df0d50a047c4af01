"""What every container of a dataset shares: one file or folder that takes the files of the dataset one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gleanset.export.workspace import Growing, Workspace, blocks

_TOGETHER, _AHEAD = 2 << 20, 8 << 20
"""Bytes that go to the thread together, and that may wait for it."""

Content = bytes | Path
"""What is in a file: its bytes, or the file on the disk that has them."""


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


def blocks_of(content: Content) -> Iterator[bytes]:
    """The bytes of the content in their order, never many at once."""
    return blocks(content, size_of(content)) if isinstance(content, Path) else iter((content,))


def write_into(file: Growing, content: Content) -> None:
    """Append the content."""
    for block in blocks_of(content):
        file.write(block)


def packed_file(place: Workspace, file: Growing) -> Whole:
    """What a container of one file is, now that this is whole."""
    return Whole(place.finished(file.path.name), file.size)


class Filled:
    """A container that a thread of its own fills, in the order of the calls, while the caller goes on.

    Whatever the thread raises, one of the next calls does.
    """

    def __init__(self, place: Workspace, container: Container) -> None:
        self._container = container
        self._thread = place.thread()
        self._filling: deque[tuple[Future[None], int]] = deque()
        self._waiting: list[tuple[str, Content]] = []
        self._bytes = self._under_way = 0
        self._error: BaseException | None = None

    def add(self, name: str, content: Content) -> None:
        """See Container. A file on the disk must stay until `state` or `finish` has been called."""
        self._waiting.append((name, content))
        self._bytes += size_of(content)
        if self._bytes >= _TOGETHER:
            self._hand_over()

    def _hand_over(self) -> None:
        while self._filling and self._under_way >= _AHEAD:
            self._wait()
        self._filling.append((self._thread.submit(self._fill, self._waiting), self._bytes))
        self._under_way += self._bytes
        self._waiting, self._bytes = [], 0

    def _wait(self) -> None:
        filled, size = self._filling.popleft()
        self._under_way -= size
        filled.result()

    def _fill(self, files: list[tuple[str, Content]]) -> None:
        if self._error is not None:  # behind a gap nothing is written, and nothing counts as whole
            raise self._error
        try:
            for name, content in files:
                self._container.add(name, content)
        except BaseException as error:
            self._error = error
            raise

    def _settle(self) -> None:
        self._hand_over()
        while self._filling:
            self._wait()

    def state(self) -> dict[str, Any]:
        self._settle()
        return self._container.state()

    def finish(self) -> Whole:
        self._settle()
        return self._container.finish()
