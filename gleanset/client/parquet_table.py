"""Parquet shards as the table of a dataset: rows are read once, images in place, where they lie in the pages."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast

from gleanset.client.archive import BROKEN, Archive, Member
from gleanset.client.windows import Window
from gleanset.errors import DatasetError, ExportError


class ParquetTable:
    """All shards as one table (see `gleanset.client.tables.Table`), whose texts are kept in a file without a name.

    `name` is that of the shard that is being read.
    """

    def __init__(self, archive: Archive, shards: Sequence[str]) -> None:
        if deflated := [name for name in shards if archive.members[name].deflated]:
            raise DatasetError(
                f"{archive.name} was packed again: its shards have to be stored as they are, {deflated[0]} is not."
            )
        self.name, self._archive, self._shards = shards[0], archive, shards
        self._member: Member | None = None
        with tempfile.TemporaryFile() as rows:
            self._rows = os.dup(rows.fileno())
        weakref.finalize(self, os.close, self._rows)

    def texts(self) -> Iterator[tuple[int, bytes]]:
        at = 0
        with os.fdopen(os.dup(self._rows), "wb") as file:
            for name in self._shards:
                self.name = name
                for text, member in self._shard():
                    self._member = member
                    file.write(text)
                    yield at, text
                    at += len(text)

    def _shard(self) -> Iterator[tuple[bytes, Member]]:
        from gleanset.export.parquet_places import chunks_of, images_of
        from gleanset.export.parquet_reading import rows  # here, since pyarrow takes a while to import
        from gleanset.export.reading import Part

        member = self._archive.members[self.name]
        start = self._archive.start(self.name, member)
        shard = Window(self._archive, start, member.size)
        part = Part(self.name, member.size, None)
        try:
            chunks = [each for each in chunks_of(shard.read_at, member.size) if each.path == "image.bytes"]
            if not chunks:
                raise DatasetError(f"{self.name} in {self._archive.name} has no images.")
            images = (place for chunk in chunks for place in images_of(shard.read_at, chunk))
            for row, (at, size) in zip(rows(shard, part, with_paths=True), images, strict=True):
                text = json.dumps(_as_in_jsonl(row), ensure_ascii=False).encode()
                yield text, Member(start + at, size, size, False, within=True)
        except (ExportError, TypeError, OSError, *BROKEN) as error:
            reason = str(error).rstrip(".")
            raise DatasetError(f"{self.name} in {self._archive.name} cannot be read: {reason}.") from error

    def read(self, at: int, length: int) -> bytes:
        return os.pread(self._rows, length, at)

    def parsed(self, text: bytes) -> dict[str, Any] | None:
        return cast("dict[str, Any]", json.loads(text))

    def member(self, row: dict[str, Any]) -> Member | None:
        return self._member if isinstance(row.get("file_name"), str) else None


def _as_in_jsonl(row: dict[str, Any]) -> dict[str, Any]:
    """Raises TypeError or ValueError for values that are not of their column's kind."""
    image = row.pop("image", None)
    name = cast("dict[str, Any]", image).get("path") if isinstance(image, dict) else None
    if row.get("fetched_at") is not None:
        row["fetched_at"] = datetime.fromisoformat(row["fetched_at"]).isoformat()
    if row.get("metadata") is not None:
        row["metadata"] = json.loads(row["metadata"])
    return {**row, "file_name": name}
