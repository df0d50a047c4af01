"""Datasets as other libraries want them. None of these libraries is needed before it is asked for."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from PIL import Image as Pictures

from gleanset.errors import ClientError

if TYPE_CHECKING:
    from gleanset.client.dataset import Dataset, Sample


def _needed(name: str) -> Any:
    """The library. Raises ClientError when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ClientError(f"This needs {name}, which is not installed: pip install {name}") from error


def to_pandas(dataset: Dataset) -> Any:
    """A DataFrame of the metadata; times are times."""
    pandas = _needed("pandas")
    table = pandas.DataFrame.from_records(list(dataset.metadata()))
    if "fetched_at" in table:
        table["fetched_at"] = pandas.to_datetime(table["fetched_at"], utc=True, format="ISO8601")
    return table


class TorchDataset:
    """A map-style dataset as torch's DataLoader takes it, which asks for a length and for items by number.

    torch itself is not needed to make one. Workers may be forked or spawned.
    """

    def __init__(
        self,
        dataset: Dataset,
        transform: Callable[[Pictures.Image], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        self.dataset = dataset.as_pictures()
        self.transform, self.target_transform = transform, target_transform
        self.classes = dataset.labels
        self.class_to_idx = {label: number for number, label in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: int) -> tuple[Any, Any]:
        return self._pair(self.dataset[place])

    def _pair(self, sample: Sample) -> tuple[Any, Any]:
        image: Any = cast("Pictures.Image", sample.image).convert("RGB")
        target: Any = self.class_to_idx[sample.label]
        return (
            image if self.transform is None else self.transform(image),
            target if self.target_transform is None else self.target_transform(target),
        )


def to_huggingface(dataset: Dataset, cache_dir: Path | str | None) -> Any:
    """Written by the library into its cache in Arrow's format, once for the same images of the same export."""
    library = _needed("datasets")
    kinds = _kinds(dataset.metadata())
    columns: dict[str, Any] = {"image": library.Image(), "label": library.ClassLabel(names=dataset.labels)}
    texts = tuple(name for name, kind in kinds.items() if kind == _TEXT)  # a list would be taken for shards
    columns |= {name: library.Value(kind) for name, kind in kinds.items() if name not in columns}
    return library.Dataset.from_generator(
        _records,
        features=library.Features(columns),
        cache_dir=None if cache_dir is None else str(cache_dir),
        gen_kwargs={"dataset": dataset.as_bytes(), "texts": texts},
    )


_TEXT = "string"
_ARROW: Sequence[tuple[frozenset[type], str]] = (
    (frozenset({bool}), "bool"),
    (frozenset({int}), "int64"),
    (frozenset({int, float}), "float64"),
)


def _kinds(rows: Iterator[dict[str, Any]]) -> dict[str, str]:
    """Arrow's type for each column; what is not of one simple type becomes text, as JSON."""
    found: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            kinds = found.setdefault(name, set())
            if value is not None:
                kinds.add(value.__class__)
    return {
        name: next((arrow for simple, arrow in _ARROW if kinds and kinds <= simple), _TEXT)
        for name, kinds in found.items()
    }


def _records(dataset: Dataset, texts: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for data, label, row in dataset:
        told = {name: _text(row.get(name)) for name in texts}
        yield {**row, **told, "image": {"bytes": data, "path": row["file_name"]}, "label": label}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
