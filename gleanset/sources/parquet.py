"""Reading lists in Parquet files."""

# pyarrow carries no types; nothing of it leaves this module.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gleanset.errors import SourceError
from gleanset.sources.list_file import ListFile, reading
from gleanset.sources.lists import Position, Row, Rows, Slice, sliced

_BATCH = 512
_LARGE_BATCH = 8192  # of one column only
_BUFFER = 1024 * 1024  # without one, pyarrow holds whole columns of a row group in memory


class ParquetList:
    """A Parquet file; batches stream, so memory holds one batch and the pages it comes from."""

    def __init__(self, file: ListFile) -> None:
        self._file = file
        with _parquet(file) as parquet:
            self.columns: tuple[str, ...] = tuple(parquet.schema_arrow.names)

    def rows(self, at: Position) -> Rows:
        with _parquet(self._file) as parquet:
            groups, skip = _from_row(parquet.metadata, at.row)
            for batch in parquet.iter_batches(_BATCH, row_groups=groups, use_threads=False):
                wanted = batch.slice(skip)
                skip = max(0, skip - batch.num_rows)
                if wanted.num_rows:
                    yield from _values(wanted)

    def slices(self, column: str, length: int) -> Iterator[Slice]:
        with _parquet(self._file) as parquet:
            batches = parquet.iter_batches(_LARGE_BATCH, columns=[column], use_threads=False)
            urls = (value for batch in batches for value in _readable(batch.column(0)).to_pylist())
            yield from sliced(urls, Position(), length, Position)


@contextmanager
def _parquet(file: ListFile) -> Generator[Any]:
    try:
        with reading(file), file.open() as stream, pq.ParquetFile(stream, buffer_size=_BUFFER) as parquet:
            yield parquet
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise SourceError(f"The list {file.name} is not a readable Parquet file: {reason}.") from error


def _from_row(metadata: Any, row: int) -> tuple[list[int], int]:
    """The row groups from the one that holds `row` on, and how many rows to skip in the first."""
    for group in range(metadata.num_row_groups):
        size: int = metadata.row_group(group).num_rows
        if row < size:
            return list(range(group, metadata.num_row_groups)), row
        row -= size
    return [], 0


def _values(batch: Any) -> list[Row]:
    columns = [_readable(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()


def _readable(column: Any) -> Any:
    """Times become text inside Arrow: Python's types cannot hold all of them (nanoseconds, years)."""
    is_time = pa.types.is_temporal(column.type) and not pa.types.is_duration(column.type)
    return column.cast(pa.string()) if is_time else column
