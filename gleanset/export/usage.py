"""How an export is unpacked and loaded, by what is known of it without opening it; its card has the same code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from gleanset.export.guide import (
    Guide,
    guide_to_coco,
    guide_to_imagefolder,
    guide_to_listing,
    guide_to_parquet,
    guide_to_plain,
    guide_to_webdataset,
    guide_to_yolo,
)
from gleanset.export.layout import WHOLE, Options
from gleanset.export.tables import columns
from gleanset.export.yolo import FOLDERS
from gleanset.store import EXTENSIONS

_UNPACK = {
    "zip": "unzip -q {0}.zip -d {0}",
    "tar": "mkdir {0} && tar -xf {0}.tar -C {0}",
    "tar.gz": "mkdir {0} && tar -xzf {0}.tar.gz -C {0}",
    "tar.zst": "mkdir {0} && tar --zstd -xf {0}.tar.zst -C {0}",
}
_IN_PLACE = """from gleanset.client import Dataset
dataset = Dataset.open("{}"){}.to_torch()  # for torch.utils.data.DataLoader
picture, label = dataset[0]"""
_NO_IMAGES = "  # a table without images: original_url says where each one is"
_LEFT_OUT = {"mlcroissant"}
_OF_A_SPLIT = {"Hugging Face datasets", "torchvision", "webdataset", "pycocotools"}


def unpacking(name: str, container: str) -> str:
    """Shell commands that unpack an export and check every file. `name`: its file's without the ending, or a folder."""
    steps = [_UNPACK[container].format(name)] if container in _UNPACK else []
    return "\n".join([*steps, f"(cd {name} && sha256sum --quiet -c MANIFEST.sha256)"])


def loading(name: str, layout: str, container: str, options: Options, splits: Sequence[str]) -> dict[str, str]:
    """Python beside the file and the unpacked folder, by the client's name. `splits`: none when it is not divided."""
    folders = [FOLDERS.get(split, split) if layout == "yolo" else split for split in splits] or [WHOLE]
    names = columns(include_metadata=options.include_metadata)
    guide = _GUIDES[layout](options, names, folders if splits or layout not in _DIFFER else [])
    first = "train" if "train" in folders else folders[0]
    others = "" if folders == [first] else f"  # or {', '.join(split for split in folders if split != first)}"
    if not guide.has_images:
        others = _NO_IMAGES
    found = {
        client: code.replace("FOLDER", name) + (others if client in _OF_A_SPLIT or not guide.has_images else "")
        for client, code in guide.loading.items()
        if client not in _LEFT_OUT
    }
    if guide.has_images and container in {"zip", "tar"}:
        chosen = f'.split("{"train" if "train" in splits else splits[0]}")' if splits else ""
        found["PyTorch, from the file as it is"] = _IN_PLACE.format(f"{name}.{container}", chosen)
    return found


def _parquet(_: Options, names: Collection[str], splits: Sequence[str]) -> Guide:
    """Without pandas: how many shards there are stands in their names, and in the card."""
    guide = guide_to_parquet(splits, "", names)
    loading = {client: code for client, code in guide.loading.items() if client != "pandas"}
    return Guide(files=guide.files, loading=loading, describe=guide.describe)


def _listing(table: str) -> Callable[[Options, Collection[str], Sequence[str]], Guide]:
    return lambda _, names, splits: guide_to_listing(table, names, divided=bool(splits))


def _suffixes(options: Options) -> list[str]:
    """Copies are of one format; of originals nobody knows here which occur."""
    return [EXTENSIONS[options.resize.format]] if options.resize else list(EXTENSIONS.values())


_GUIDES: Mapping[str, Callable[[Options, Collection[str], Sequence[str]], Guide]] = {
    "plain": lambda _, names, splits: guide_to_plain(names, {split: f"images/{split}" for split in splits}),
    "imagefolder": lambda _, names, splits: guide_to_imagefolder(splits, names),
    "webdataset": lambda options, names, splits: guide_to_webdataset(splits, _suffixes(options), names),
    "parquet": _parquet,
    "coco": lambda _, names, splits: guide_to_coco(splits, names),
    "yolo": lambda _, names, splits: guide_to_yolo(splits, names),
    "csv": _listing("metadata.csv"),
    "jsonl": _listing("metadata.jsonl"),
}
_DIFFER = {"plain", "csv", "jsonl"}
"""Layouts in which what is not divided is no split."""
