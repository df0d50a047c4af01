"""Crawl jobs with real pictures in the store, and archives as exports look."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from PIL import Image

from gleanset.store import Store, blob_key
from tests.api.helpers import Jobs
from tests.services.helpers import downloaded
from tests.serving import Served

LABELS = ("tern", "gull")


@cache
def picture(number: int, side: int = 160) -> bytes:
    """A JPEG of noise, some 50 KB, the same for the same number."""
    file = io.BytesIO()
    noise = Image.frombytes("RGB", (side, side), random.Random(number).randbytes(side * side * 3))
    noise.save(file, "JPEG", quality=95)
    return file.getvalue()


def gathered(served: Served, user_id: UUID, folder: Path, count: int, different: int | None = None) -> int:
    """A completed crawl job with so many pictures of two labels, or copies of so many `different` ones; its id."""
    jobs = Jobs.of(served, user_id, folder)
    store = Store(served.settings.store_place)
    outcomes = []
    for number in range(count):
        data = picture(number % (different or count))
        sha256 = hashlib.sha256(data).hexdigest()
        jobs.do(store.put(blob_key(sha256, "jpeg"), data))
        had = downloaded(f"{sha256[:8]}-{number}", sha256=sha256, file_size=len(data), width=160, height=160)
        outcomes.append(replace(had, candidate=replace(had.candidate, label=LABELS[number % 2])))
    return jobs.without_task(outcomes)


def dataset_files(count: int = 6, **columns: Callable[[int], Any]) -> dict[str, bytes]:
    """The files of a dataset, as exports name and describe them. `columns` adds to its rows."""
    files: dict[str, bytes] = {}
    rows: list[dict[str, Any]] = []
    for number in range(count):
        data, label = picture(number), LABELS[number % 2]
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"images/{label}/{sha256}.jpg"
        files[name] = data
        row = {"file_name": name, "label": label, "width": 160, "height": 160, "file_size": len(data)}
        row |= {"sha256": sha256, "creator": None, "fetched_at": "2026-05-04T12:30:00+00:00", "metadata": {"n": number}}
        rows.append(row | {key: value(number) for key, value in columns.items()})
    files["metadata.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return files | {"MANIFEST.sha256": manifest(files)}


def manifest(files: Mapping[str, bytes]) -> bytes:
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    return "".join(lines).encode()


def write_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path
