"""Folders by split and label, as ImageFolder of Hugging Face and of torchvision read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gleanset.copying import Part
from gleanset.export.base import Entry
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_imagefolder
from gleanset.export.layout import WHOLE, Options, Pictures, SplitTables


class ImageFolder(Pictures):
    """`<split>/<label>/<sha256>.<ext>`, with what is known of them in `<split>/metadata.jsonl`."""

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._tables = SplitTables(files)

    def add(self, entry: Entry, data: Part) -> str:
        split = entry.split or WHOLE
        name = self.picture(split, entry, data)
        self._tables.add(split, self.row(entry, name))
        return name

    def guide(self) -> Guide:
        return guide_to_imagefolder(list(self.folders), self.columns())

    def state(self) -> dict[str, Any]:
        return super().state() | {"splits": self._tables.folders}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._tables.restore(state["splits"])
