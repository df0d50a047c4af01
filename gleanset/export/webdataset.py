"""Shards of a split as tars, which webdataset and Hugging Face stream without unpacking them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from typing import Any

from gleanset.copying import Part
from gleanset.export.base import Entry, folder_name
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_webdataset
from gleanset.export.layout import WHOLE, Layout, Options
from gleanset.export.names import Names
from gleanset.export.seen import Seen
from gleanset.export.tables import Jsonl, as_json, of_one_type
from gleanset.export.tar import tar_end, tar_header
from gleanset.export.workspace import Growing
from gleanset.store import EXTENSIONS

_END = tarfile.RECORDSIZE
"""A shard's end takes up to so many bytes."""


class WebDataset(Layout):
    """`<split>-000000.tar` and so on, each image as `<label>/<sha256>.<ext>` with `.json` and `.cls`; and classes.json.

    `.cls` is the label's place in the list of classes.json, counted from 0. All that is known of the images is in
    metadata.jsonl too, for who does not go through the shards.
    """

    has_shards = True

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._names = Names(options.rename)
        self._seen = Seen(files.place, "names")
        self._table = Jsonl(files, "metadata.jsonl")
        self._suffixes: dict[str, None] = {}
        self._classes: dict[str, int] = {}
        self._shards: dict[str, int] = {}
        self._open: tuple[str, Growing] | None = None

    def add(self, entry: Entry, data: Part) -> str:
        key = f"{folder_name(entry.label)}/{self._names.of(entry)}"
        if not self._seen.is_new(key):  # the same bytes twice under one label, when duplicates are kept
            key = f"{key}-{entry.position}"
        suffix = EXTENSIONS[entry.format]
        self._suffixes[suffix] = None
        name = f"{key}.{suffix}"
        row = self.row(entry, name)
        number = self._classes.setdefault(entry.label, len(self._classes))
        parts: dict[str, Part] = {
            name: data,
            f"{key}.json": as_json(of_one_type(row)),
            f"{key}.cls": str(number).encode(),
        }
        sample = [each for part in parts.items() for each in _member(*part)]
        shard = self._shard(entry.split or WHOLE, sum(map(len, sample)))
        for each in sample:
            shard.write(each)
        self._table.add(row)
        return name

    def _shard(self, split: str, more: int) -> Growing:
        """The shard of the split in which there is room for so many bytes more."""
        if self._open is not None:
            now, shard = self._open
            if now == split and shard.size + more + _END <= self.options.max_shard_bytes:
                return shard
            self._close()
        self._shards[split] = self._shards.get(split, -1) + 1
        shard = self.files.place.growing(self._name(split))
        self._open = split, shard
        return shard

    def _name(self, split: str) -> str:
        return f"{split}-{self._shards[split]:06}.tar"

    def _close(self) -> None:
        if self._open is None:
            return
        split, shard = self._open
        shard.write(tar_end(shard.size))
        path = self.files.place.finished(self._name(split))
        self.files.add(self._name(split), path)
        self.files.place.spend(path)
        self._open = None

    def guide(self) -> Guide:
        splits, suffixes = list(self._shards), list(self._suffixes)
        return guide_to_webdataset(splits, suffixes, self.columns())

    def state(self) -> dict[str, Any]:
        return {
            "names": self._names.state(),
            "suffixes": list(self._suffixes),
            "classes": list(self._classes),
            "shards": self._shards,
            "open": self._open[0] if self._open else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._names.restore(state["names"])
        self._suffixes = dict.fromkeys(state["suffixes"])
        self._classes = {label: number for number, label in enumerate(state["classes"])}
        self._shards = dict(state["shards"])
        if (split := state["open"]) is not None:
            self._open = split, self.files.place.growing(self._name(split))

    def finish(self) -> None:
        self._close()
        self.files.add("classes.json", (json.dumps(list(self._classes), ensure_ascii=False) + "\n").encode())


def _member(name: str, content: Part) -> tuple[Part, ...]:
    return tar_header(name, len(content)), content, bytes(-len(content) % tarfile.BLOCKSIZE)
