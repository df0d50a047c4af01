"""The rows of an export's metadata, as they come out of whatever layout it was packed in."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, cast

from gleanset.errors import ExportDamaged, NotAnExport
from gleanset.export.paper_names import TABLE
from gleanset.export.reading import Package, Part, parts_within, seekable

Row = Mapping[str, Any]

_LONGEST_ROW = 16 * 1024 * 1024
_IMAGES, _ANNOTATIONS = b'"images": [', b'], "annotations": ['
"""Lines of a COCO file that end, and that begin, like this have the images between them, a line each."""


class Rows:
    """The rows of a package, in the same order however often they are gone through.

    Raises NotAnExport when it has none, ExportDamaged.
    """

    def __init__(self, package: Package) -> None:
        self._package = package
        best = min((kind for part in package.parts() if (kind := _kind(part)) is not None), default=None)
        if best is None:
            raise NotAnExport(f"{package.name} has no table of its images, by which exports are compared.")
        self._best = best

    def __iter__(self) -> Iterator[Row]:
        number, _ = self._best
        _, read = _KINDS[number]
        for part in self._package.parts():
            if _kind(part) == self._best:
                yield from read(part)


def original_sha256(row: Row) -> str | None:
    """The hash of the picture that a resized copy was made from, where the row tells it."""
    metadata = row.get("metadata")
    if isinstance(metadata, str) and '"original"' in metadata:
        with suppress(ValueError, RecursionError):
            metadata = json.loads(metadata)
    match metadata:
        case {"original": {"sha256": str(sha256)}}:
            return sha256
        case _:
            return None


def _kind(part: Part) -> tuple[int, int] | None:
    """Which of _KINDS it is, and how deep it lies: below the table of all there may be one of each split."""
    if not part.is_safe:
        return None
    depth = part.name.count("/")
    return next(((number, depth) for number, (pattern, _) in enumerate(_KINDS) if pattern.fullmatch(part.name)), None)


def _jsonl(part: Part) -> Iterator[Row]:
    for number, line in enumerate(_lines(part), 1):
        yield _object(line, f"Line {number} of {part.name}")


def _csv(part: Part) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_ROW)
    with seekable(part) as file, TextIOWrapper(file, "utf-8", newline="") as text:
        try:
            yield from csv.DictReader(text)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ExportDamaged(f"{part.name} is no CSV: {error}.") from error


def _parquet(part: Part) -> Iterator[Row]:
    from gleanset.export.parquet_reading import rows  # here, since pyarrow takes a while to import

    with seekable(part) as file:
        yield from rows(file, part)


def _coco(part: Part) -> Iterator[Row]:
    inside = False
    for line in _lines(part):
        if inside and line.startswith(_ANNOTATIONS):
            return
        if inside and line:
            yield _object(line.removesuffix(b","), f"An image of {part.name}")
        inside = inside or line.endswith(_IMAGES)
    raise ExportDamaged(f"{part.name} does not list its images a line each, as Gleanset's exports do.")


def _webdataset(part: Part) -> Iterator[Row]:
    for inner in parts_within(part):
        if inner.name.endswith(".json"):
            if inner.size > _LONGEST_ROW:
                raise ExportDamaged(f"{part.name} has a row larger than any export's.")
            yield _object(b"".join(inner.blocks()), f"{inner.name} in {part.name}")


_KINDS: tuple[tuple[re.Pattern[str], Callable[[Part], Iterator[Row]]], ...] = (
    (re.compile(rf"(?:.*/)?{re.escape(TABLE)}"), _jsonl),
    (re.compile(r"(?:.*/)?metadata\.csv"), _csv),
    (re.compile(r"(?:.*/)?data/[^/]+-\d{5}(?:-of-\d{5})?\.parquet"), _parquet),
    (re.compile(r"(?:.*/)?annotations/instances_[^/]+\.json"), _coco),
    (re.compile(r"(?:.*/)?[^/]+-\d{6}\.tar"), _webdataset),
)
"""Where rows may be: of several such files the first kind is read, since the others say the same."""


def _object(text: bytes, place: str) -> Row:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExportDamaged(f"{place} is not JSON.") from error
    if not isinstance(row, dict):
        raise ExportDamaged(f"{place} is no object.")
    return cast("Row", row)


def _lines(part: Part) -> Iterator[bytes]:
    """Lines, none of them longer than a row can be."""
    rest = b""
    for block in part.blocks():
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > _LONGEST_ROW:
            raise ExportDamaged(f"{part.name} has a line longer than any export's.")
    if rest:
        yield rest
