"""Tables of what is known of the images: a row an image, as lines of JSON or as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gleanset.export.base import METADATA_FIELDS, Entry, metadata_row
from gleanset.export.files import Files

OWED = (
    "file_name", "label", "split", "sha256", "original_url", "licence", "licence_version", "licence_url", "attribution",
    "decision",
)  # fmt: skip
"""What goes with an image even when its metadata is not wanted: what it is, what is owed for it, and who wanted it."""

LABEL_NAME = "label_name"
"""The column with a label's name where `label` is a number."""


def columns(*, include_metadata: bool) -> Sequence[str]:
    """The names of the columns, in their order."""
    return [*METADATA_FIELDS, "metadata"] if include_metadata else OWED


def row_of(entry: Entry, file_name: str, *, include_metadata: bool) -> dict[str, Any]:
    """An image as a row with these columns."""
    row = metadata_row(entry, file_name)
    return row if include_metadata else {name: row[name] for name in OWED}


def as_json(row: Mapping[str, Any]) -> bytes:
    """On one line, in UTF-8."""
    try:
        return orjson.dumps(row)
    except TypeError:  # numbers beyond 64 bits, which a list may have
        return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


class Jsonl:
    """A JSON object a line."""

    def __init__(self, files: Files, name: str) -> None:
        self._text = files.text(name)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        self._text.write_bytes(as_json(row) + b"\n")


class Csv:
    """RFC 4180 in UTF-8, with a head; `metadata` is JSON text."""

    def __init__(self, files: Files, name: str, names: Sequence[str]) -> None:
        text = files.text(name)
        self._names = names
        # Lines end in CRLF, csv's default: what occurs in the line end is quoted in text, so a bare CR breaks no row.
        self._csv = csv.writer(text)
        if text.is_new:
            self._csv.writerow(names)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        row = as_text(row)
        self._csv.writerow([row[name] for name in self._names])


def as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its `metadata`, if it has any, as JSON text: one type, whatever the source told."""
    if "metadata" not in row:
        return dict(row)
    return {**row, "metadata": as_json(row["metadata"]).decode() if row["metadata"] else "{}"}


def of_one_type(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row for readers that guess types from a few rows and expect the others to agree: no value is missing, a text
    that is not known is empty, and `metadata` is JSON text."""
    return {name: "" if value is None else value for name, value in as_text(row).items()}
