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
from gleanset.export.parquet_places import check_pages, chunks_of
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
        read = partial(_read, file)
        chunks = list(chunks_of(read, part.size))
        if sum(each.unfolded for each in chunks) > most_of(part.size):
            raise ExportDamaged(f"{part.name} unfolds to far more than its size: that is no export but a trap.")
        for each in chunks:  # whatever they say their names are: Arrow goes by their order
            check_pages(read, each)
        schema = pq.read_schema(file)
        names = [name for name in schema.names if name != "image"]
        # A text that comes again and again takes the room of one: a small file may say it a million times.
        paths = ["image.path"] if with_paths and _has_path(schema) else []
        texts = [*paths, *(name for name in names if _is_text(schema.field(name).type))]
        if not all(_is_flat(schema.field(name).type) for name in names):
            raise ExportDamaged(f"{part.name} has columns of kinds that no export has.")
        with pq.ParquetFile(file, buffer_size=_BUFFER, read_dictionary=texts) as parquet:
            for batch in parquet.iter_batches(_BATCH, columns=[*names, *paths], use_threads=False):
                for values in zip(*map(_values, batch.columns), strict=True):
                    row = dict(zip(batch.schema.names, values, strict=True))
                    yield row | {"label": row.pop(LABEL_NAME)} if LABEL_NAME in row else row
    except (pa.ArrowException, OSError, ValueError, LookupError, ArithmeticError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ExportDamaged(f"{part.name} is not a readable Parquet file: {reason}.") from error


def _read(file: Seekable, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length) or b""


def _is_text(kind: Any) -> bool:
    return kind in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary())


def _is_flat(kind: Any) -> bool:
    """Whether a value takes a few bytes, or is kept once for all rows that have it."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return _is_text(kind) or pa.types.is_primitive(kind) or pa.types.is_null(kind)


def _has_path(schema: Any) -> bool:
    at = schema.get_field_index("image")
    if at < 0 or not pa.types.is_struct(kind := schema.field(at).type):
        return False
    return kind.get_field_index("path") >= 0 and _is_text(kind.field("path").type)


def _values(column: Any) -> list[Any]:
    if pa.types.is_struct(column.type):  # the image
        names = [field.name for field in column.type]
        return [dict(zip(names, each, strict=True)) for each in zip(*map(_values, column.flatten()), strict=True)]
    if pa.types.is_dictionary(column.type):
        used = column.indices.unique().drop_null()  # a dictionary may be that of many batches
        known = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
        return [known.get(number) for number in column.indices.to_pylist()]
    return (column.cast(pa.string()) if pa.types.is_temporal(column.type) else column).to_pylist()
