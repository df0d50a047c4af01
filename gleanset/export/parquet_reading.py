"""The rows of one of our Parquet files, without its images."""

# pyarrow carries no types; nothing of it leaves this module.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from io import RawIOBase
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from gleanset.errors import ExportDamaged
from gleanset.export.parquet_places import chunks_of
from gleanset.export.reading import Part
from gleanset.export.tables import LABEL_NAME
from gleanset.sources.archive import most_of

Seekable = BinaryIO | RawIOBase

_BATCH = 1000
_BUFFER = 1 << 20
"""Without one, pyarrow holds whole columns of a row group in memory."""


def rows(file: Seekable, part: Part, *, with_paths: bool = False) -> Iterator[dict[str, Any]]:
    """What every row says beside its image, of which there is at most the path, in `image`. `file` has the part's
    bytes. Raises ExportDamaged."""
    try:
        chunks = list(chunks_of(partial(_read, file), part.size))
        schema = pq.read_schema(file)
        names = [name for name in schema.names if name != "image"]
        # A text that comes again and again takes the room of one: a small file may say it a million times.
        texts = [name for name in names if pa.types.is_string(schema.field(name).type)]
        wanted = [*names, "image.path"] if with_paths else names
        if sum(max(0, each.unfolded) for each in chunks if each.path != "image.bytes") > most_of(part.size):
            raise ExportDamaged(f"{part.name} unfolds to far more than its size: that is no export but a trap.")
        with pq.ParquetFile(file, buffer_size=_BUFFER, read_dictionary=texts) as parquet:
            for batch in parquet.iter_batches(_BATCH, columns=wanted, use_threads=False):
                for values in zip(*map(_values, batch.columns), strict=True):
                    row = dict(zip(batch.schema.names, values, strict=True))
                    yield row | {"label": row.pop(LABEL_NAME)} if LABEL_NAME in row else row
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ExportDamaged(f"{part.name} is not a readable Parquet file: {reason}.") from error


def _read(file: Seekable, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length) or b""


def _values(column: Any) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        used = column.indices.unique().drop_null()  # a dictionary may be that of many batches
        known = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
        return [known.get(number) for number in column.indices.to_pylist()]
    return (column.cast(pa.string()) if pa.types.is_temporal(column.type) else column).to_pylist()
