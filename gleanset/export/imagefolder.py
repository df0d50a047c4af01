"""Folders by split and label, as ImageFolder of Hugging Face and of torchvision read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gleanset.export.base import Entry
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_imagefolder
from gleanset.export.layout import WHOLE, Options, Pictures
from gleanset.export.tables import Jsonl, of_one_type


class ImageFolder(Pictures):
    """`<split>/<label>/<sha256>.<ext>`, with all that is known of them in `<split>/metadata.jsonl`.

    Hugging Face guesses the columns' types from the first rows of each split and wants them to agree, so the rows are
    `of_one_type`.
    """

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._tables: dict[str, Jsonl] = {}

    def add(self, entry: Entry, data: bytes) -> str:
        split = entry.split or WHOLE
        name = self.picture(split, entry, data)
        if self.options.include_metadata:
            self._table(split).add(of_one_type(self.row(entry, name.removeprefix(f"{split}/"))))
        return name

    def _table(self, split: str) -> Jsonl:
        if split not in self._tables:
            self._tables[split] = Jsonl(self.files, f"{split}/metadata.jsonl")
        return self._tables[split]

    def guide(self) -> Guide:
        return guide_to_imagefolder(list(self.folders))

    def state(self) -> dict[str, Any]:
        return super().state() | {"splits": list(self._tables)}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        for split in state["splits"]:
            self._table(split)
