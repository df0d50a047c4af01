"""Exports: one file a format. Every format takes the same entries and writes the same papers beside the images."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

from gleanset.export.base import About, Entry, Packed, Progress
from gleanset.export.pack import pack
from gleanset.export.tar import tar_archive, tar_gz_archive
from gleanset.export.zip import zip_archive
from gleanset.store import Store

__all__ = ["FORMATS", "About", "Entry", "Pack", "Packed", "Progress"]

Pack = Callable[[AsyncIterator[Entry], Store, Path, About, Progress], Awaitable[Packed]]

FORMATS: dict[str, Pack] = {
    "zip": partial(pack, zip_archive),
    "tar": partial(pack, tar_archive),
    "tar.gz": partial(pack, tar_gz_archive),
}
"""By name, which is also how the file's name ends."""
