"""What every export format shares: entries, their metadata rows, and names inside the dataset."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from gleanset.export.portable import DEVICES
from gleanset.store import EXTENSIONS
from gleanset.types import Licence

Entries = Callable[[int], AsyncIterator["Entry"]]
"""The entries of a dataset whose position is greater than the number, always the same in the same order."""
Progress = Callable[[int], Awaitable[None]]
"""Told now and then how many entries are packed; may raise to stop the export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One image of a dataset, with where it comes from. `key` is its blob in the store.

    `crc32`: of the file's bytes; None where it is not known.
    `position`: from 1 on, growing from entry to entry; behind it a killed export goes on.
    `split`: such as `train`; entries come split after split. `group`: what a split must not part, by the first 16
    digits of the smallest SHA-256 in it; None when nothing is divided. `decision`: `keep` when a person wanted it,
    whatever the rules say. `original`: of a resized copy, the sha256, format, width, height and file_size of
    what it was made from.
    """

    position: int
    key: str
    sha256: str
    label: str
    format: str
    width: int
    height: int
    file_size: int
    crc32: int | None = None
    pdq: str | None = None
    source: str | None = None
    original_url: str
    source_page: str | None = None
    title: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    licence: Licence | None = None
    attribution: str | None = None
    fetched_at: datetime | None = None
    split: str | None = None
    group: str | None = None
    decision: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    original: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which version of a dataset it is: the jobs by number, the rules by name and hash, and what people decided.

    `decisions`: how often each choice is made in the project, and `decisions_sha256` the hash of all of them.
    """

    crawl_job: int | None = None
    refresh_of: int | None = None
    validation_job: int | None = None
    rules_name: str | None = None
    rules_hash: str | None = None
    decisions: Mapping[str, int] = field(default_factory=dict[str, int])
    decisions_sha256: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    """How a dataset was divided, beside its counts. `kept_together`: what made images a group, beside equal bytes:
    near_duplicates, series. `left_out`: images that would leak out of a fixed test set. `moved`: images that are in
    another split than in the version before. `sha256` stands for which image is in which split, `fixed_sha256` for the
    images that a fixed test set names: two versions that tell the same have the same."""

    kept_together: tuple[str, ...] = ()
    left_out: int = 0
    moved: int = 0
    sha256: str | None = None
    fixed_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the papers tell of the run behind the export. `changes`: what a refresh found, by kind.

    `creator`: the name of the person whose dataset it is, where they gave one. `left_out`: images of the crawl job that
    people rejected.
    """

    name: str
    keywords: Any
    rules: Mapping[str, Any]
    failures: Mapping[str, int]
    invalid: Mapping[str, int]
    created: datetime
    changes: Mapping[str, int] = field(default_factory=dict[str, int])
    creator: str | None = None
    left_out: int = 0
    origin: Origin = Origin()
    splitting: Splitting | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """A finished export: where it lies, images in it, and its size in bytes; a folder's is that of all its files.

    `sha256`: of its manifest, which has those of all other files.
    """

    path: Path
    images: int
    file_size: int
    sha256: str


METADATA_FIELDS = (
    "file_name", "label", "split", "group", "width", "height", "file_size", "format", "sha256", "pdq", "source",
    "source_page", "original_url", "title", "creator", "creator_url", "licence", "licence_version", "licence_url",
    "attribution", "fetched_at", "decision",
)  # fmt: skip


def metadata_row(entry: Entry, file_name: str) -> dict[str, Any]:
    """The entry as a row of metadata.jsonl; metadata.csv has the same columns, with `metadata` as JSON text."""
    licence = entry.licence
    return {
        "file_name": file_name,
        "label": entry.label,
        "split": entry.split,
        "group": entry.group,
        "width": entry.width,
        "height": entry.height,
        "file_size": entry.file_size,
        "format": entry.format,
        "sha256": entry.sha256,
        "pdq": entry.pdq,
        "source": entry.source,
        "source_page": entry.source_page,
        "original_url": entry.original_url,
        "title": entry.title,
        "creator": entry.creator,
        "creator_url": entry.creator_url,
        "licence": licence.code if licence else None,
        "licence_version": licence.version if licence else None,
        "licence_url": licence.url if licence else None,
        "attribution": entry.attribution,
        "fetched_at": entry.fetched_at.isoformat() if entry.fetched_at else None,
        "decision": entry.decision,
        "metadata": _metadata(entry),
    }


def _metadata(entry: Entry) -> dict[str, Any]:
    """What the source says beside; `original` is ours, so a column of that name in somebody's list gets another."""
    theirs = {"original_" if name == "original" else name: value for name, value in entry.metadata.items()}
    return theirs if entry.original is None else {**theirs, "original": dict(entry.original)}


_HASHED = re.compile(r".*-[0-9a-f]{8}")


@lru_cache(10_000)
def folder_name(label: str) -> str:
    """A folder name for a label, safe on every file system and never the same for two labels.

    A label that is safe as it stands keeps its name; any other gets its first characters and a hash of the whole. Upper
    case counts as unsafe, because `Cat` and `cat` are one folder on Windows and macOS, and so does what looks hashed.
    """
    name = unicodedata.normalize("NFC", label).casefold()
    plain = re.sub(r"[^\w\- ]", "_", name).strip(" _")[:60].strip()
    if plain and plain == label and plain not in DEVICES and not _HASHED.fullmatch(plain):
        return plain
    return f"{plain or 'label'}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def file_name(entry: Entry) -> str:
    """Path of the entry's image inside a dataset: `images/<label>/<sha256>.<ext>`."""
    return f"images/{folder_name(entry.label)}/{entry.sha256}.{EXTENSIONS[entry.format]}"
