"""Reading lists of URLs row by row, from any row on, in constant memory: txt, csv, jsonl and parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from gleanset.errors import SourceError

_MAX_LINE = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t"
_JSONL_SAMPLE = 1000  # records whose keys count as the columns of a JSONL file

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two rows: the number of rows before it and, in text, the bytes and lines before it."""

    row: int = 0
    offset: int = 0
    line: int = 0


Rows = Generator[tuple[Position, Row], None, None]


class ListReader(Protocol):
    """One list. Rows are numbered as they stand in the file, so that a number means the same in every pass."""

    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def start(self) -> Position: ...

    def rows(self, at: Position, columns: Sequence[str] | None = None) -> Rows:
        """The rows from `at` on, each with the position behind it. `columns` is a hint: the only ones of interest."""
        ...


def open_list(path: Path) -> ListReader:
    """The reader for a list, chosen by suffix; a file without one is a plain list. Raises SourceError."""
    readers = _READERS.get(path.suffix.lower())
    if readers is None:
        known = ", ".join(suffix for suffix in _READERS if suffix)
        raise SourceError(f"The list {path} has a suffix that says nothing about its format. Use one of {known}.")
    with reading(path):
        if not path.is_file():
            raise SourceError(f"The list {path} does not exist or is not a file.")
        return readers(path)


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Maps the errors of the file system."""
    try:
        yield
    except OSError as error:
        raise SourceError(f"The list {path} cannot be read: {error.strerror or error}.") from error


class _Lines:
    """The decoded lines of a file, which know where they are: neither `open` nor csv tells offsets while iterating."""

    def __init__(self, path: Path, file: BinaryIO, at: Position) -> None:
        file.seek(at.offset)
        self._path, self._file = path, file
        self.offset, self.line = at.offset, at.line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._file.readline(_MAX_LINE + 1)
        if not raw:
            raise StopIteration
        self.line += 1
        if len(raw) > _MAX_LINE:
            raise self.error(f"is longer than {_MAX_LINE // 2**20} MiB: this is not a list of URLs")
        at_start = self.offset == 0
        self.offset += len(raw)
        try:
            return (raw.removeprefix(_BOM) if at_start else raw).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error("is not UTF-8: save the list as UTF-8") from error

    def error(self, what: str) -> SourceError:
        return SourceError(f"{self._path} line {self.line} {what}.")

    def position(self, row: int) -> Position:
        return Position(row, self.offset, self.line)


@contextmanager
def _lines(path: Path, at: Position) -> Generator[_Lines]:
    with reading(path), path.open("rb") as file:
        yield _Lines(path, file, at)


class _Text:
    """A URL a line; blank lines and `#` comments are no rows."""

    columns = ("url",)
    start = Position()

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, at: Position, columns: Sequence[str] | None = None) -> Rows:  # noqa: ARG002
        row = at.row
        with _lines(self._path, at) as lines:
            for line in map(str.strip, lines):
                if line and not line.startswith("#"):
                    row += 1
                    yield lines.position(row), {"url": line}


class _Csv:
    """Comma, semicolon or tab separated, with a header; cells past the header are kept as `extra`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _lines(path, Position()) as lines:
            first = next((line for line in lines if line.strip()), "")
            self._delimiter = max(_DELIMITERS, key=first.count)
            header: list[str] = next(self._records(chain([first], lines), lines), list[str]())
            self.columns = tuple(name.strip() for name in header)
            self.start = lines.position(0)

    def rows(self, at: Position, columns: Sequence[str] | None = None) -> Rows:  # noqa: ARG002
        width, row = len(self.columns), at.row
        with _lines(self._path, at) as lines:
            for cells in self._records(lines, lines):
                row += 1
                values: Row = dict(zip(self.columns, cells, strict=False))
                if len(cells) > width:
                    values["extra"] = cells[width:]
                yield lines.position(row), values

    def _records(self, text: Iterator[str], lines: _Lines) -> Iterator[list[str]]:
        try:
            # strict, since a quote that never closes would otherwise swallow the rest of the file in silence
            yield from filter(None, csv.reader(text, delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise lines.error(f"is not valid CSV: {error}") from error


class _JsonLines:
    """A JSON object a line; blank lines are no rows."""

    start = Position()

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def columns(self) -> tuple[str, ...]:
        sample = islice(self.rows(self.start), _JSONL_SAMPLE)
        return tuple(dict.fromkeys(chain.from_iterable(values for _, values in sample)))

    def rows(self, at: Position, columns: Sequence[str] | None = None) -> Rows:  # noqa: ARG002
        row = at.row
        with _lines(self._path, at) as lines:
            for line in lines:
                if line.strip():
                    row += 1
                    yield lines.position(row), self._object(line, lines)

    def _object(self, line: str, lines: _Lines) -> Row:
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise lines.error(f"is not valid JSON: {error}") from error
        if not isinstance(value, dict):
            raise lines.error("is not a JSON object")
        return cast("Row", value)


def _parquet(path: Path) -> ListReader:
    from gleanset.sources.parquet import ParquetList  # here, since pyarrow takes a while to import

    return ParquetList(path)


_READERS = {
    ".txt": _Text,
    ".csv": _Csv,
    ".tsv": _Csv,
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
    ".parquet": _parquet,
    "": _Text,
}
