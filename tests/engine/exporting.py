"""Entries to be packed, and packing them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gleanset.export import About, Entries, Entry, Options, Packed, Progress, export, form_of
from gleanset.store import Store, blob_key

ABOUT = About(
    name="Cats and dogs",
    keywords={"cat": ["cat", "kitten"]},
    rules={"min_width": 256},
    failures={"not_found": 3},
    invalid={"min_width": 12},
    created=datetime(2026, 1, 2, tzinfo=UTC),
)

PAPERS = {
    *("README.md", "ATTRIBUTION.md", "MANIFEST.sha256", "contact-sheet.jpg", "croissant.json", "dataset.json"),
    *("metadata.jsonl", "metadata.csv"),
}
"""What lies beside the images of the plain layout."""


def entry(data: bytes, label: str = "cat", **more: Any) -> Entry:
    digest = hashlib.sha256(data).hexdigest()
    defaults: dict[str, Any] = {
        "position": 1,
        "key": blob_key(digest, "png"),
        "sha256": digest,
        "label": label,
        "format": "png",
        "width": 10,
        "height": 20,
        "file_size": len(data),
        "original_url": "https://example.org/a.png",
    }
    return Entry(**defaults | more)


async def stored(store: Store, blobs: Iterable[bytes], format_: str = "png") -> list[Entry]:
    """Entries of these bytes, which are in the store."""
    entries = [entry(data, format=format_, key=blob_key(hashlib.sha256(data).hexdigest(), format_)) for data in blobs]
    for made, data in zip(entries, blobs, strict=True):
        await store.put(made.key, data)
    return entries


def stream(entries: Iterable[Entry]) -> Entries:
    """The entries, numbered, from a position on."""
    numbered = [replace(item, position=n) for n, item in enumerate(entries, 1)]

    async def after(position: int) -> AsyncIterator[Entry]:
        for item in numbered[position:]:
            yield item

    return after


async def silent(_: int) -> None:
    pass


async def pack(entries: Iterable[Entry], store: Store, target: Path, progress: Progress = silent) -> Packed:
    return await export(form_of("zip"), stream(entries), store, target, ABOUT, progress)


async def lay_out(
    format_: str,
    entries: Iterable[Entry],
    store: Store,
    target: Path,
    options: Options = Options(),
    inside: str = "folder",
) -> Path:
    """The dataset in this format, in a folder unless another container is named."""
    form = form_of(format_, inside)
    return (await export(form, stream(entries), store, target, ABOUT, silent, options)).path
