"""One Parquet file of images while it is being written, and its end, which is written when all labels are known."""

# pyarrow carries no types; nothing of it leaves this module.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_ROW_GROUP = 8 << 20
"""Bytes of rows; readers hold one in memory, and the writer has it twice: as batches, and as it goes to the file."""
_BATCH = 2 << 20
"""Bytes of rows that become an Arrow batch: Python's own copies are let go of early."""
_ROW = 4 << 10
"""About the bytes of a row beside its image, while it is Python's."""
_FOOTER = 4 << 10
_EPOCH, _TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_MAGIC = b"PAR1"

_TYPES: Mapping[str, tuple[Any, str]] = {
    "label": (pa.int64(), "int64"),
    "width": (pa.int32(), "int32"),
    "height": (pa.int32(), "int32"),
    "file_size": (pa.int64(), "int64"),
    "fetched_at": (pa.timestamp("us", "UTC"), "timestamp[us, tz=UTC]"),
}
"""Of the columns that are not text, for Arrow and for Hugging Face."""


class Shard:
    """A file that is being written; `size` is about its bytes."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._schema = path, _schema(columns)
        self._kinds = [(field.name, field.type) for field in self._schema]
        self.size = _FOOTER
        self._largest = 0
        path.unlink(missing_ok=True)  # who was cancelled before may have it open still, and writes when it is let go
        self._writer = _writer(path, self._schema)
        self._rows: list[dict[str, Any]] = []
        self._batches: list[Any] = []
        self._waiting = [0, 0]

    def add(self, row: dict[str, Any], size: int) -> None:
        self._rows.append(row)
        self.size += size
        self._largest = max(self._largest, size)
        self._waiting = [each + _ROW + size for each in self._waiting]
        if self._waiting[0] >= _BATCH:
            self._gather()
        if self._waiting[1] >= _ROW_GROUP:
            self._write()

    def is_full(self, most: int) -> bool:
        """Whether another image, if it is as large as the largest, would make it too large."""
        return self.size + self._largest > most

    def _gather(self) -> None:
        if self._rows:
            columns = [_column([row[name] for row in self._rows], kind) for name, kind in self._kinds]
            self._batches.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        self._rows, self._waiting[0] = [], 0

    def _write(self) -> None:
        self._gather()
        if self._batches:
            table = pa.Table.from_batches(self._batches, self._schema)
            self._writer.write_table(table, row_group_size=len(table))
        self._batches, self._waiting[1] = [], 0
        for pool in (pa.default_memory_pool(), pa.system_memory_pool()):  # Arrow's, and that of the C library
            pool.release_unused()  # or they keep for later what a group took

    def finish(self) -> int:
        """Its bytes; `seal` writes what comes behind them."""
        self._write()
        self._writer.close()
        return self._path.stat().st_size


def seal(path: Path, size: int, columns: Sequence[str], labels: Sequence[str]) -> None:
    """End a finished file, of which so many bytes were written, with a directory that knows the labels by number.

    The directory of Parquet stands behind the data, and the last one counts: the one before, without labels, stays as
    some bytes that nobody reads, from which this is made however often it is begun.
    """
    os.truncate(path, size)
    file = BytesIO()
    _writer(file, _schema(columns, labels)).close()
    directory = pq.read_metadata(file)
    directory.append_row_groups(pq.read_metadata(path))
    written = BytesIO()
    directory.write_metadata_file(written)
    with path.open("ab") as shard:
        shard.write(written.getvalue().removeprefix(_MAGIC))


def _column(values: Sequence[Any], kind: Any) -> Any:
    """The values as Arrow has them. Its own way from lists begins with importing pandas, if that is there: 35 MB."""
    if pa.types.is_struct(kind):
        children = [_column([value[field.name] for value in values], field.type) for field in kind]
        return pa.Array.from_buffers(kind, len(values), [None], children=children)
    there = np.array([value is not None for value in values])
    known = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        parts = [value.encode() if isinstance(value, str) else value or b"" for value in values]
        ends = np.zeros(len(parts) + 1, np.int32)
        np.cumsum([len(part) for part in parts], out=ends[1:])
        buffers = [known, pa.py_buffer(ends), pa.py_buffer(b"".join(parts))]
    else:
        numbers = [(value - _EPOCH) // _TICK if isinstance(value, datetime) else value or 0 for value in values]
        buffers = [known, pa.py_buffer(np.array(numbers, f"i{kind.bit_width // 8}"))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _writer(place: Any, schema: Any) -> Any:
    texts = [name for name in schema.names if name != "image"]
    options: dict[str, Any] = {
        "compression": {**dict.fromkeys(texts, "snappy"), "image.bytes": "none", "image.path": "snappy"},
        "use_dictionary": texts,
        "write_statistics": texts,
        "write_batch_size": 64,  # values between two looks at a page's size
    }
    return pq.ParquetWriter(place, schema, **options)


def _schema(columns: Sequence[str], labels: Sequence[str] = ()) -> Any:
    """The image and the other columns, with what Hugging Face takes them for."""
    fields = [pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    for name in columns:
        arrow, dtype = _TYPES.get(name, (pa.string(), "string"))
        fields.append(pa.field(name, arrow))
        features[name] = {"dtype": dtype, "_type": "Value"}
    features["label"] = {"names": list(labels), "_type": "ClassLabel"}
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})
