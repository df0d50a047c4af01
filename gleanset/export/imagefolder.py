"""Folders by split and label, as ImageFolder of Hugging Face and of torchvision read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gleanset.export.base import Entry
from gleanset.export.files import Files
from gleanset.export.layout import WHOLE, Options, Pictures
from gleanset.export.tables import Jsonl, as_text


class ImageFolder(Pictures):
    """`<split>/<label>/<sha256>.<ext>`, with all that is known of them in `<split>/metadata.jsonl`.

    Hugging Face guesses the columns' types from the first rows of each split and wants them to agree, so no value is
    missing: a text that is not known is empty, and `metadata` is JSON text.
    """

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._tables: dict[str, Jsonl] = {}

    def add(self, entry: Entry, data: bytes) -> str:
        split = entry.split or WHOLE
        name = self.picture(split, entry, data)
        if self.options.include_metadata:
            row = as_text(self.row(entry, name.removeprefix(f"{split}/")))
            self._table(split).add({column: "" if value is None else value for column, value in row.items()})
        return name

    def _table(self, split: str) -> Jsonl:
        if split not in self._tables:
            self._tables[split] = Jsonl(self.files, f"{split}/metadata.jsonl")
        return self._tables[split]

    def state(self) -> dict[str, Any]:
        return super().state() | {"splits": list(self._tables)}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        for split in state["splits"]:
            self._table(split)
