"""Images and what is known of them in Parquet files, with the types that Hugging Face datasets reads from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gleanset.copying import Part
from gleanset.export.base import Entry, folder_name
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_parquet
from gleanset.export.layout import WHOLE, Layout, Options
from gleanset.export.names import Names
from gleanset.export.tables import LABEL_NAME, as_text, columns
from gleanset.store import EXTENSIONS

if TYPE_CHECKING:
    from gleanset.export.parquet_shard import Shard

_AT_ONCE = 64 << 20
"""Bytes of finished shards, or one of more, that go into the container from one checkpoint to the next."""


class Parquet(Layout):
    """`data/<split>-00000-of-00003.parquet` and so on: `image` has bytes and a path, and metadata have a column each.

    `label` is a number, by which the schema names the label for Hugging Face; `label_name` has the name itself. Numbers
    are given in the order in which labels come, the same in all splits.

    How many shards a split has, and which labels there are, is known at the end. So shards stay in the workspace until
    then, and go into the container one by one. One that is being written cannot be gone on with: an export that is
    killed begins its shard again.
    """

    has_shards = wants_bytes = True

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        from gleanset.export.parquet_shard import Shard  # here, since pyarrow takes a while to import

        self._columns = _columns(include_metadata=options.include_metadata)
        self._new_shard = partial(Shard, columns=self._columns)
        self._names = Names(options.rename)
        self._classes: dict[str, int] = {}
        self._shards: list[tuple[str, int]] = []  # finished ones: the split, and the bytes
        self._packed = 0
        self._open: tuple[str, Shard] | None = None

    def add(self, entry: Entry, data: Part) -> str:
        assert isinstance(data, bytes)
        path = f"{folder_name(entry.label)}/{self._names.of(entry)}.{EXTENSIONS[entry.format]}"
        shard = self._shard(entry.split or WHOLE, len(data))
        row = as_text(self.row(entry, path))
        if row.get("fetched_at"):
            row["fetched_at"] = datetime.fromisoformat(row["fetched_at"])
        label = {"label": self._classes.setdefault(entry.label, len(self._classes)), LABEL_NAME: entry.label}
        shard.add(row | label | {"image": {"bytes": data, "path": row.pop("file_name")}}, len(data))
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
        shard = self._new_shard(self._path(len(self._shards)))
        self._open = split, shard
        return shard

    def _path(self, number: int) -> Path:
        return self.files.place.folder / f"{number:05}.parquet"

    def _close(self) -> None:
        if self._open is None:
            return
        split, shard = self._open
        size = shard.finish()
        self._shards.append((split, size))
        self._open = None

    def settle(self) -> bool:
        self._close()
        self.is_at_rest = True
        names, room = self._named()[self._packed :], _AT_ONCE
        for name in names:
            room -= self._shards[self._packed][1]
            self._pack(name)
            if room <= 0:
                break
        return bool(names)

    def _pack(self, name: str) -> None:
        """Put the next shard into the container."""
        from gleanset.export.parquet_shard import seal

        path, (_, size) = self._path(self._packed), self._shards[self._packed]
        seal(path, size, self._columns, list(self._classes))
        self.files.add(f"data/{name}", path)
        self.files.place.spend(path)
        self._packed += 1

    def _named(self) -> list[str]:
        """The names of the shards, as the Hugging Face hub has them."""
        total, so_far = Counter(split for split, _ in self._shards), Counter[str]()
        names: list[str] = []
        for split, _ in self._shards:
            names.append(f"{split}-{so_far[split]:05}-of-{total[split]:05}.parquet")
            so_far[split] += 1
        return names

    def guide(self) -> Guide:
        splits = dict.fromkeys(split for split, _ in self._shards)
        return guide_to_parquet(list(splits), self._named()[0], self._columns)

    def state(self) -> dict[str, Any]:
        return {
            "names": self._names.state(),
            "classes": list(self._classes),
            "shards": self._shards,
            "packed": self._packed,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._names.restore(state["names"])
        self._classes = {label: number for number, label in enumerate(state["classes"])}
        self._shards = [(split, size) for split, size in state["shards"]]
        self._packed = state["packed"]


def _columns(*, include_metadata: bool) -> list[str]:
    """Those of the tables, but for the name of a file."""
    first, label, *others = columns(include_metadata=include_metadata)
    assert (first, label) == ("file_name", "label")
    return [label, LABEL_NAME, *others]
