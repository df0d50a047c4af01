"""Images and what is known of them in Parquet files, with the types that Hugging Face datasets reads from them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from gleanset.export.base import Entry, folder_name
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_parquet
from gleanset.export.layout import WHOLE, Layout, Options
from gleanset.export.names import Names
from gleanset.export.tables import as_text, columns
from gleanset.store import EXTENSIONS

if TYPE_CHECKING:
    from gleanset.export.parquet_shard import Shard


class Parquet(Layout):
    """`data/<split>-00000.parquet` and so on: the column `image` has bytes and a path, and metadata have one each.

    How many shards a split will have is not known while they are written, so their names do not tell, as those on the
    Hugging Face hub do. A file of Parquet ends with its directory, which cannot be gone on with: an export that is
    killed begins its shard again.
    """

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        from gleanset.export.parquet_shard import Shard  # here, since pyarrow takes a while to import

        self._new_shard = partial(Shard, columns=columns(include_metadata=options.include_metadata))
        self._names = Names(options.rename)
        self._shards: dict[str, int] = {}
        self._open: tuple[str, Shard] | None = None

    def add(self, entry: Entry, data: bytes) -> str:
        path = f"{folder_name(entry.label)}/{self._names.of(entry)}.{EXTENSIONS[entry.format]}"
        shard = self._shard(entry.split or WHOLE, len(data))
        row = as_text(self.row(entry, path))
        if row.get("fetched_at"):
            row["fetched_at"] = datetime.fromisoformat(row["fetched_at"])
        shard.add(row | {"image": {"bytes": data, "path": row.pop("file_name")}}, len(data))
        if shard.is_full(self.options.max_shard_bytes):
            self._close()
        self.is_at_rest = self._open is None
        return path

    def _shard(self, split: str, more: int) -> Shard:
        if self._open is not None:
            now, shard = self._open
            if now == split and shard.size + more <= self.options.max_shard_bytes:
                return shard
            self._close()
        self._shards[split] = self._shards.get(split, -1) + 1
        shard = self._new_shard(self.files.place.folder / "shard.parquet")
        self._open = split, shard
        return shard

    def _close(self) -> None:
        if self._open is None:
            return
        split, shard = self._open
        path = shard.finish()
        self.files.add(f"data/{split}-{self._shards[split]:05}.parquet", path)
        path.unlink()
        self._open = None

    def guide(self) -> Guide:
        return guide_to_parquet(list(self._shards), columns(include_metadata=self.options.include_metadata))

    def state(self) -> dict[str, Any]:
        return {"names": self._names.state(), "shards": self._shards}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._names.restore(state["names"])
        self._shards = dict(state["shards"])

    def finish(self) -> None:
        self._close()
