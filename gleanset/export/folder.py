"""A dataset as a folder of files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from gleanset.copying import Copy
from gleanset.export.container import Content, Whole, size_of
from gleanset.export.workspace import Workspace


class Folder:
    """See `gleanset.export.container.Container`. What lies there from behind a checkpoint is written over."""

    def __init__(self, place: Workspace, name: str, state: Mapping[str, int]) -> None:
        self._place = place
        self._folder = place.folder / name
        self._folder.mkdir(exist_ok=True)
        self._size = state.get("size", 0)
        self._there: set[str] = set()

    def add(self, name: str, content: Content) -> None:
        parent, _, _ = name.rpartition("/")
        if parent not in self._there:
            (self._folder / parent).mkdir(parents=True, exist_ok=True)
            self._there.add(parent)
        if isinstance(content, Path):
            shutil.copyfile(content, self._folder / name)
        elif isinstance(content, bytes):
            (self._folder / name).write_bytes(content)
        else:
            self._place.copy(Copy(f"{self._folder}/{name}", 0, [content], new=True))
        self._size += size_of(content)

    def state(self) -> dict[str, int]:
        return {"size": self._size}

    def finish(self) -> Whole:
        return Whole(self._folder, self._size)
