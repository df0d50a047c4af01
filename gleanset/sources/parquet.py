"""Reading lists in Parquet files."""

# pyarrow carries no types; nothing of it leaves this module.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gleanset.errors import SourceError
from gleanset.sources.lists import Position, Row, Rows, reading

_BATCH = 512


class ParquetList:
    """A Parquet file; batches stream, so memory holds one batch and the row group's pages it comes from."""

    start = Position()

    def __init__(self, path: Path) -> None:
        self._path = path
        with _parquet(path) as file:
            self.columns: tuple[str, ...] = tuple(file.schema_arrow.names)

    def rows(self, at: Position, columns: Sequence[str] | None = None) -> Rows:
        row = at.row
        with _parquet(self._path) as file:
            groups, skip = _from_row(file.metadata, at.row)
            for batch in file.iter_batches(_BATCH, row_groups=groups, columns=columns, use_threads=False):
                values = _values(batch.slice(skip))
                skip = max(0, skip - batch.num_rows)
                for item in values:
                    row += 1
                    yield Position(row), item


@contextmanager
def _parquet(path: Path) -> Generator[Any]:
    try:
        with reading(path), pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise SourceError(f"The list {path} is not a readable Parquet file: {reason}.") from error


def _from_row(metadata: Any, row: int) -> tuple[list[int], int]:
    """The row groups from the one that holds `row` on, and how many rows to skip in the first."""
    for group in range(metadata.num_row_groups):
        size: int = metadata.row_group(group).num_rows
        if row < size:
            return list(range(group, metadata.num_row_groups)), row
        row -= size
    return [], 0


def _values(batch: Any) -> list[Row]:
    """Rows of a batch. Times become text inside Arrow: Python's types cannot hold all of them (nanoseconds, years)."""
    columns = [
        column.cast(pa.string())
        if pa.types.is_temporal(column.type) and not pa.types.is_duration(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
