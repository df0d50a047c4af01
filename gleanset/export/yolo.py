"""Folders by split and class, as Ultralytics trains classifiers on them: `yolo classify train data=<folder>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gleanset.copying import Part
from gleanset.errors import ExportError
from gleanset.export.base import Entry, folder_name
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_yolo
from gleanset.export.layout import WHOLE, Options, Pictures, tables

FOLDERS = {"validation": "val"}
"""What Ultralytics calls a split; every other keeps its name."""


class Yolo(Pictures):
    """`train|val|test/<label>/<sha256>.<ext>`, with metadata.jsonl and metadata.csv, and the classes in classes.txt.

    A class's number is its line there, counted from 0, which is how Ultralytics counts the sorted folders of `train`.
    """

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._tables = tables(files, options)
        self._classes: set[str] = set()
        self._splits: dict[str, str] = {}

    def add(self, entry: Entry, data: Part) -> str:
        split = entry.split or WHOLE
        folder = FOLDERS.get(split, split)
        if self._splits.setdefault(folder, split) != split:
            raise ExportError(f"The splits {self._splits[folder]} and {split} are both {folder} for YOLO. Rename one.")
        name = self.picture(folder, entry, data)
        self._classes.add(folder_name(entry.label))
        row = self.row(entry, name)
        for table in self._tables:
            table.add(row)
        return name

    def guide(self) -> Guide:
        return guide_to_yolo(list(self.folders), self.columns())

    def state(self) -> dict[str, Any]:
        return super().state() | {"classes": sorted(self._classes), "splits": self._splits}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._classes = set(state["classes"])
        self._splits = dict(state["splits"])

    def finish(self) -> None:
        self.files.add("classes.txt", "".join(f"{name}\n" for name in sorted(self._classes)).encode())
