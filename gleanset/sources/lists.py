"""Reading lists of URLs row by row, from any row on, in constant memory: txt, csv, jsonl and parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from itertools import chain, islice
from typing import Any, BinaryIO, Protocol, cast

from gleanset.errors import SourceError
from gleanset.sources.list_file import ListFile, reading
from gleanset.sources.text import clean

_MAX_LINE = 8 * 1024 * 1024
_BLOCK = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t"
_JSONL_SAMPLE = 1000  # records whose keys count as the columns of a JSONL file

Row = dict[str, Any]
Rows = Generator[Row]


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two rows: the number of rows before it and, in text, the bytes and lines before it."""

    row: int = 0
    offset: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows from `start` up to row `stop`; `count` of them have a value in the column that was looked at."""

    start: Position
    stop: int
    count: int


class ListReader(Protocol):
    """One list. Rows are numbered as they stand in the file, so that a number means the same in every pass."""

    @property
    def columns(self) -> Sequence[str]: ...

    def rows(self, at: Position) -> Rows:
        """The rows from `at` on."""
        ...

    def slices(self, column: str, length: int) -> Iterator[Slice]:
        """The whole list in slices of `length` rows; reads it once, and of each row only what it must."""
        ...


def open_list(file: ListFile) -> ListReader:
    """The reader for a list, chosen by suffix; a file without one is a plain list. Raises SourceError."""
    reader = _READERS.get(file.suffix)
    if reader is None:
        known = ", ".join(suffix for suffix in _READERS if suffix)
        raise SourceError(f"The list {file.name} has a suffix that says nothing about its format. Use one of {known}.")
    with reading(file):
        if not file.exists():
            raise SourceError(f"The list {file.name} does not exist or is not a file.")
        return reader(file)


def sliced(cells: Iterator[Any], start: Position, length: int, position: Callable[[int], Position]) -> Iterator[Slice]:
    """Slices of rows, given a value for each. `position(row)` is where the list is behind the last value taken."""
    while (rows := _tally(islice(cells, length)))[0]:
        end = position(start.row + rows[0])
        yield Slice(start, end.row, rows[1])
        start = end


def _tally(cells: Iterable[Any]) -> tuple[int, int]:
    """How many values there are, and how many of them say something."""
    rows = count = 0
    for value in cells:
        rows += 1
        # An address begins with a printable character and needs no closer look.
        if (type(value) is str and "!" <= value[:1] <= "~") or clean(value) is not None:
            count += 1
    return rows, count


class _Lines:
    """The decoded lines of a file, which know where they are.

    Decoded a block at a time, and the place counted only when it is asked for: lists are long, and both would be most
    of the work of a plan if they were done for each line.
    """

    def __init__(self, file: ListFile, stream: BinaryIO, at: Position) -> None:
        stream.seek(at.offset)
        self._file, self._stream = file, stream
        self._offset, self._line = at.offset, at.line  # of the block at hand
        self._text = ""
        self._block = StringIO()

    def __iter__(self) -> Iterator[str]:
        for raw in self._blocks():
            block = raw
            if self._offset == 0 and raw.startswith(_BOM):
                self._offset, block = len(_BOM), raw[len(_BOM) :]
            self._text = self._decoded(block)
            self._block = StringIO(self._text, newline="\n")
            yield from self._block
            self._offset, self._line = self._offset + len(block), self._lines_before()
            self._text, self._block = "", StringIO()

    def error(self, what: str) -> SourceError:
        return self._error(self._lines_before(), what)

    def position(self, row: int) -> Position:
        read = self._text[: self._block.tell()]
        return Position(row, self._offset + len(read.encode()), self._lines_before())

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines, a block or a little more at once."""
        rest = b""
        while data := self._stream.read(_BLOCK):
            first, end = data.find(b"\n") + 1, data.rfind(b"\n") + 1
            if len(rest) + (first or len(data)) > _MAX_LINE:
                raise self._error(
                    self._line + 1, f"is longer than {_MAX_LINE // 2**20} MiB: this is not a list of URLs"
                )
            if end:
                yield rest + data[:end]
                rest = data[end:]
            else:
                rest += data
        if rest:
            yield rest

    def _decoded(self, block: bytes) -> str:
        try:
            return block.decode("utf-8")
        except UnicodeDecodeError as error:
            line = self._line + block.count(b"\n", 0, error.start) + 1
            raise self._error(line, "is not UTF-8: save the list as UTF-8") from error

    def _lines_before(self) -> int:
        end = self._block.tell()
        unfinished = end > 0 and self._text[end - 1] != "\n"
        return self._line + self._text.count("\n", 0, end) + unfinished

    def _error(self, line: int, what: str) -> SourceError:
        return SourceError(f"{self._file.name} line {line} {what}.")


@contextmanager
def _lines(file: ListFile, at: Position) -> Generator[_Lines]:
    with reading(file), file.open() as stream:
        yield _Lines(file, stream, at)


class _Text:
    """A URL a line; blank lines and `#` comments are no rows."""

    columns = ("url",)

    def __init__(self, file: ListFile) -> None:
        self._file = file

    def rows(self, at: Position) -> Rows:
        with _lines(self._file, at) as lines:
            for url in self._urls(lines):
                yield {"url": url}

    def slices(self, column: str, length: int) -> Iterator[Slice]:  # noqa: ARG002 - there is but one
        with _lines(self._file, Position()) as lines:
            yield from sliced(self._urls(lines), Position(), length, lines.position)

    def _urls(self, lines: _Lines) -> Iterator[str]:
        return (line for line in map(str.strip, lines) if line and line[0] != "#")


class _Csv:
    """Comma, semicolon or tab separated, with a header; cells past the header are kept as `extra`."""

    def __init__(self, file: ListFile) -> None:
        self._file = file
        with _lines(file, Position()) as lines:
            text = iter(lines)
            first = next((line for line in text if line.strip()), "")
            self._delimiter = max(_DELIMITERS, key=first.count)
            header: list[str] = next(self._records(chain([first], text), lines), list[str]())
            self.columns = tuple(name.strip() for name in header)
            self._start = lines.position(0)

    def rows(self, at: Position) -> Rows:
        width = len(self.columns)
        with _lines(self._file, at) as lines:
            for cells in self._records(iter(lines), lines):
                values: Row = dict(zip(self.columns, cells, strict=False))
                if len(cells) > width:
                    values["extra"] = cells[width:]
                yield values

    def slices(self, column: str, length: int) -> Iterator[Slice]:
        place = max(place for place, name in enumerate(self.columns) if name == column)  # as in a row: the last wins
        with _lines(self._file, self._start) as lines:
            records = self._records(iter(lines), lines)
            urls = (cells[place] if place < len(cells) else None for cells in records)
            yield from sliced(urls, self._start, length, lines.position)

    def _records(self, text: Iterator[str], lines: _Lines) -> Iterator[list[str]]:
        try:
            # strict, since a quote that never closes would otherwise swallow the rest of the file in silence
            yield from filter(None, csv.reader(text, delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise lines.error(f"is not valid CSV: {error}") from error


class _JsonLines:
    """A JSON object a line; blank lines are no rows."""

    def __init__(self, file: ListFile) -> None:
        self._file = file

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(chain.from_iterable(islice(self.rows(Position()), _JSONL_SAMPLE))))

    def rows(self, at: Position) -> Rows:
        with _lines(self._file, at) as lines:
            yield from self._objects(lines)

    def slices(self, column: str, length: int) -> Iterator[Slice]:
        with _lines(self._file, Position()) as lines:
            urls = (values.get(column) for values in self._objects(lines))
            yield from sliced(urls, Position(), length, lines.position)

    def _objects(self, lines: _Lines) -> Iterator[Row]:
        for line in lines:
            if line.isspace():
                continue
            try:
                value: Any = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise lines.error(f"is not valid JSON: {error}") from error
            if not isinstance(value, dict):
                raise lines.error("is not a JSON object")
            yield cast("Row", value)


def _parquet(file: ListFile) -> ListReader:
    from gleanset.sources.parquet import ParquetList  # here, since pyarrow takes a while to import

    return ParquetList(file)


_READERS: dict[str, Callable[[ListFile], ListReader]] = {
    ".txt": _Text,
    ".csv": _Csv,
    ".tsv": _Csv,
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
    ".parquet": _parquet,
    "": _Text,
}
SUFFIXES = tuple(_READERS)
