"""How a dataset is laid out: where images go, and how what is known of them is written down."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gleanset.export.base import METADATA_FIELDS, Entry, file_name, metadata_row
from gleanset.export.files import Files
from gleanset.export.seen import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a dataset is written. max_shard_bytes: where a layout has shards, about how large one becomes."""

    max_shard_bytes: int = 500_000_000


class Layout:
    """Where the images go, and how each is described. Entries come split after split, always in the same order.

    A layout holds little in memory: what grows is a text of `files`. `is_at_rest`: whether an export that is killed now
    could go on from here, with what `state` says given to `restore` and the texts as they are.
    """

    is_at_rest = True

    def __init__(self, files: Files, options: Options) -> None:
        self.files, self.options = files, options

    def add(self, entry: Entry, data: bytes) -> str:
        """Write an image and what is known of it; the path by which the dataset's papers may name it."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What is not in a growing text, JSON-able."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there; called before anything else, and only when there was a checkpoint."""

    def finish(self) -> None:
        """Write what comes behind the last image; growing texts go into the container by themselves."""


class Plain(Layout):
    """`images/<label>/<sha256>.<ext>`, with all that is known of them in metadata.jsonl and metadata.csv."""

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._jsonl, table = files.text("metadata.jsonl"), files.text("metadata.csv")
        # Lines end in CRLF, csv's default: what occurs in the line end is quoted in text, so a bare CR breaks no row.
        self._csv = csv.DictWriter(table, [*METADATA_FIELDS, "metadata"])
        if table.is_new:
            self._csv.writeheader()
        self._seen = Seen(files.place, "names")

    def add(self, entry: Entry, data: bytes) -> str:
        name = file_name(entry)
        if self._seen.is_new(name):  # the same bytes twice under one label, when duplicates are kept
            self.files.add(name, data, entry.sha256)
        row = metadata_row(entry, name)
        self._jsonl.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._csv.writerow(row | {"metadata": json.dumps(row["metadata"], ensure_ascii=False)})
        return name
