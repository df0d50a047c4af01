"""Only the table, without the images: what there is, whose it is, and where it can be had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gleanset.copying import Part
from gleanset.export.base import Entry
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_listing
from gleanset.export.layout import Layout, Options
from gleanset.export.tables import Csv, Jsonl

_NO_FILE = "file_name"
"""The column that such a table has not."""


class _Listing(Layout):
    packs_images = names_files = False
    name: str
    table: Csv | Jsonl

    divided = False

    def add(self, entry: Entry, data: Part) -> str:  # noqa: ARG002 the images stay where they are
        self.divided = self.divided or entry.split is not None
        row = self.row(entry, entry.sha256)
        del row[_NO_FILE]
        self.table.add(row)
        return entry.sha256

    def guide(self) -> Guide:
        return guide_to_listing(self.name, self.columns(), divided=self.divided)

    def state(self) -> dict[str, Any]:
        return {"divided": self.divided}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.divided = state["divided"]


class CsvListing(_Listing):
    """metadata.csv; a spreadsheet opens it."""

    name = "metadata.csv"

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self.table = Csv(files, self.name, [name for name in self.columns() if name != _NO_FILE])


class JsonlListing(_Listing):
    """metadata.jsonl, whose rows also keep what the source told as it was."""

    name = "metadata.jsonl"

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self.table = Jsonl(files, self.name)
