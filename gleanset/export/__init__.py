"""Exports: a layout says how a dataset's files are named and described, a container takes them."""

from gleanset.export.base import About, Entries, Entry, Packed, Progress
from gleanset.export.coco import Coco
from gleanset.export.folder import Folder
from gleanset.export.imagefolder import ImageFolder
from gleanset.export.layout import Options, Plain
from gleanset.export.listing import CsvListing, JsonlListing
from gleanset.export.objects import ObjectPlace
from gleanset.export.packing import WRITING, Form, export, pack
from gleanset.export.parquet import Parquet
from gleanset.export.tar import Tar, TarGz, TarZst
from gleanset.export.webdataset import WebDataset
from gleanset.export.workspace import Workspace, bring_name_to_disk, bring_to_disk
from gleanset.export.yolo import Yolo
from gleanset.export.zip import Zip
from gleanset.types import Resize

__all__ = [
    "CONTAINERS",
    "DOWNLOADED",
    "FORMATS",
    "TAKEN_BY",
    "WRITING",
    "About",
    "Entries",
    "Entry",
    "Form",
    "ObjectPlace",
    "Options",
    "Packed",
    "Progress",
    "Resize",
    "Workspace",
    "bring_name_to_disk",
    "bring_to_disk",
    "export",
    "form_of",
    "pack",
]

CONTAINERS = {"zip": Zip, "tar": Tar, "tar.gz": TarGz, "tar.zst": TarZst, "folder": Folder}
"""By name; that of a container of one file is also how the file's name ends."""
LAYOUTS = {
    "plain": Plain,
    "imagefolder": ImageFolder,
    "webdataset": WebDataset,
    "parquet": Parquet,
    "coco": Coco,
    "yolo": Yolo,
    "csv": CsvListing,
    "jsonl": JsonlListing,
}
FORMATS = {name: ("plain", name) for name in CONTAINERS} | {name: (name, "zip") for name in LAYOUTS if name != "plain"}
"""What people ask for: a layout, and the container that it comes in when they do not say which."""

TAKEN_BY = {
    "max_shard_size": tuple(name for name, (layout, _) in FORMATS.items() if LAYOUTS[layout].has_shards),
    "rename": tuple(name for name, (layout, _) in FORMATS.items() if LAYOUTS[layout].names_files),
}
"""The formats that an option means anything to; all other options mean something to all of them."""

DOWNLOADED = tuple(name for name, (_, container) in FORMATS.items() if container != "folder")
"""Formats that come as one file when nothing else is said."""


def form_of(format_: str, container: str | None = None) -> Form:
    """The form of a format, in its own container or another."""
    layout, usual = FORMATS[format_]
    return Form(LAYOUTS[layout], CONTAINERS[container or usual])
