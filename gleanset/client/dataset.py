"""A packed dataset as something to go through: image, label, metadata."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, overload

import numpy as np
from PIL import Image as Pictures

from gleanset.client.cache import Cache
from gleanset.client.calls import decoded
from gleanset.client.held import Held
from gleanset.client.rows import Rows
from gleanset.errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gleanset.client.convert import TorchDataset

_THREADS = min(4, os.cpu_count() or 1)
_AHEAD = 4
"""Images that wait for each thread, decoded already or about to be."""
_ASKED = 16
"""Images whose bytes come next, when one has not come yet."""


class Sample(NamedTuple):
    """`image` is a picture, or the bytes of its file when the dataset was asked not to decode. `metadata` is the
    image's row of metadata.jsonl, or what the layout has in its place."""

    image: Pictures.Image | bytes
    label: str
    metadata: dict[str, Any]


class Batch(NamedTuple):
    images: list[Pictures.Image | bytes]
    labels: list[str]
    metadata: list[dict[str, Any]]


class Dataset(Sequence[Sample]):
    """The images of an export, read from its archive as they are asked for, and checked by their SHA-256. What has not
    come yet is waited for: reading raises what the download raises.

    It can be used by several threads and in forked processes, and sent to others, which open the archive again.
    """

    def __init__(self, held: Held, chosen: NDArray[np.int64] | None = None, *, decode: bool = True) -> None:
        self._held, self._decode = held, decode
        self._chosen = np.arange(len(held.rows), dtype=np.int64) if chosen is None else chosen

    @classmethod
    def open(cls, path: Path | str, *, decode: bool = True, cache: Path | str | None = None) -> Self:
        """A zip, a tar (also .gz, .zst) or a folder that lies on this machine. A packed tar is kept as a plain one in
        the cache. Raises DatasetError for what is no dataset, DownloadError when the cache cannot be written."""
        return cls(Held(Rows(Cache(cache).opened(Path(path)))), decode=decode)

    def close(self) -> None:
        """Let go of the archive. What has come of it is kept, and the rest fetched when it is loaded again; only when
        the last parts are on their way already, that is waited for."""
        self._held.close()

    @property
    def _rows(self) -> Rows:
        return self._held.rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._held.close(at_once=kind is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (self._held.whole(), self._rows.name, self._chosen, self._decode)

    def __repr__(self) -> str:
        return f"<Dataset of {len(self):,} images, {len(self.labels):,} labels, {self._rows.name}>"

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> Dataset: ...
    def __getitem__(self, place: int | slice) -> Sample | Dataset:
        if isinstance(place, slice):
            return self._of(self._chosen[place])
        return self._sample(int(self._chosen[place]))

    def __iter__(self) -> Iterator[Sample]:
        """In the order of the export; a few images ahead are decoded in threads meanwhile."""
        ahead = _AHEAD * _THREADS if self._decode else 0
        rows: list[int] = self._chosen.tolist()
        waiting: deque[tuple[int, Future[Sample]]] = deque()
        pool = ThreadPoolExecutor(_THREADS, "gleanset-decode")
        try:
            for place, row in enumerate(rows):
                if not self._rows.is_here(row):
                    while waiting:
                        yield self._taken(*waiting.popleft())
                    self._held.reading().wait(
                        rows[place : place + _ASKED]
                    )  # no thread of the pool waits for the network
                if not ahead:
                    yield self._sample(row)
                    continue
                waiting.append((row, pool.submit(self._read, self._held.reading(), row)))
                if len(waiting) > ahead:
                    yield self._taken(*waiting.popleft())
            while waiting:
                yield self._taken(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _taken(self, row: int, future: Future[Sample]) -> Sample:
        try:
            return future.result()
        except DatasetError:
            return self._sample(row)  # here, since to mend it may take a while

    def iter_batches(self, size: int, *, drop_last: bool = False) -> Iterator[Batch]:
        """So many samples at a time, as three lists; the last batch may be shorter. Raises ValueError for a size below
        1."""
        if size < 1:
            raise ValueError(f"A batch of {size} images is none. Let there be one or more.")
        return self._batches(size, drop_last)

    def _batches(self, size: int, drop_last: bool) -> Iterator[Batch]:
        batch = Batch([], [], [])
        for sample in self:
            batch.images.append(sample.image)
            batch.labels.append(sample.label)
            batch.metadata.append(sample.metadata)
            if len(batch.images) == size:
                yield batch
                batch = Batch([], [], [])
        if batch.images and not drop_last:
            yield batch

    @property
    def labels(self) -> list[str]:
        """The labels of the whole dataset in alphabetical order; a split has the same ones, in the same order."""
        return self._rows.labels

    @property
    def splits(self) -> dict[str, int]:
        """How many images each split has; empty when the export was not split."""
        counted = _counted(self._rows.splits, self._rows.split_of[self._chosen])
        return {name: count for name, count in counted.items() if count}

    @property
    def label_counts(self) -> dict[str, int]:
        """How many images each label has here."""
        return _counted(self.labels, self._rows.label_of[self._chosen])

    def split(self, name: str) -> Dataset:
        """The images of one split. Raises DatasetError when the export has no such split."""
        if name not in self._rows.splits:
            known = ", ".join(self._rows.splits) or "it was exported without"
            raise DatasetError(f"{self._rows.name} has no split {name!r} ({known}).")
        return self._of(self._chosen[self._rows.split_of[self._chosen] == self._rows.splits.index(name)])

    def shuffled(self, seed: int) -> Dataset:
        """The same images in another order, which is the same for the same seed."""
        return self._of(np.random.default_rng(seed).permutation(self._chosen))

    def metadata(self) -> Iterator[dict[str, Any]]:
        """The rows of metadata.jsonl, without reading an image."""
        return (self._held.reading().row(row) for row in self._chosen.tolist())

    def to_pandas(self) -> Any:
        """A pandas.DataFrame of the metadata, a row an image."""
        from gleanset.client import convert

        return convert.to_pandas(self)

    def to_huggingface(self, cache_dir: Path | str | None = None) -> Any:
        """A datasets.Dataset with the images, their labels as ClassLabel, and the metadata as columns."""
        from gleanset.client import convert

        return convert.to_huggingface(self, cache_dir)

    def to_torch(self, transform: Any = None, target_transform: Any = None) -> TorchDataset:
        """A map-style dataset for torch's DataLoader: RGB pictures, or what `transform` makes of them, and the numbers
        of their labels."""
        from gleanset.client import convert

        return convert.TorchDataset(self, transform, target_transform)

    def as_bytes(self) -> Dataset:
        """The same, with the files' bytes for images."""
        return Dataset(self._held, self._chosen, decode=False)

    def as_pictures(self) -> Dataset:
        """The same, with decoded pictures for images."""
        return Dataset(self._held, self._chosen)

    def _of(self, chosen: NDArray[np.int64]) -> Dataset:
        return Dataset(self._held, chosen, decode=self._decode)

    def _sample(self, row: int) -> Sample:
        rows = self._held.reading()
        try:
            metadata, data = rows.image(row)
        except DatasetError as damage:
            metadata, data = self._held.mended(rows, damage).image(row)
        return self._shown(metadata, data)

    def _read(self, rows: Rows, row: int) -> Sample:
        return self._shown(*rows.image(row))

    def _shown(self, metadata: dict[str, Any], data: bytes) -> Sample:
        image = decoded(data, f"{metadata['file_name']} in {self._rows.name}") if self._decode else data
        return Sample(image, str(metadata["label"]), metadata)


def _counted(names: list[str], numbers: NDArray[np.int32]) -> dict[str, int]:
    counts = np.bincount(numbers[numbers >= 0], minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))


def _opened_again(path: Path, name: str, chosen: NDArray[np.int64], decode: bool) -> Dataset:
    return Dataset(Held(Rows(path, name)), chosen, decode=decode)
