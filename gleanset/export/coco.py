"""COCO: pictures, and a JSON file for each split with images, licences, categories and annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gleanset.copying import Part
from gleanset.export.base import Entry
from gleanset.export.container import write_into
from gleanset.export.files import Files
from gleanset.export.guide import Guide, guide_to_coco
from gleanset.export.layout import WHOLE, Options, Pictures
from gleanset.export.tables import as_json
from gleanset.export.workspace import Growing
from gleanset.types import Licence

_DESCRIPTION = (
    "Pictures with a label each, gathered with Gleanset. Labels are of whole pictures: the box of each annotation is "
    "that of its picture, and nobody has drawn it."
)


class Coco(Pictures):
    """`images/<split>/<label>/<sha256>.<ext>` and `annotations/instances_<split>.json`.

    A file's name there is that below `images/<split>`. Each image has all metadata beside COCO's own fields, and one
    annotation with its label as category and a box around all of it, which COCO cannot do without. Categories are
    numbered from 1 in the order in which they come, the same in all splits.
    """

    def __init__(self, files: Files, options: Options) -> None:
        super().__init__(files, options)
        self._splits: dict[str, tuple[Growing, Growing]] = {}
        self._categories: dict[str, int] = {}
        self._licences: dict[Licence | None, int] = {}
        self._links: list[str | None] = []
        self._images = 0

    def add(self, entry: Entry, data: Part) -> str:
        split = entry.split or WHOLE
        folder = f"images/{split}"
        name = self.picture(folder, entry, data)
        images, annotations = self._texts(split)
        self._images += 1
        _append(images, self._image(entry, name.removeprefix(f"{folder}/")))
        _append(annotations, self._annotation(entry))
        return name

    def _texts(self, split: str) -> tuple[Growing, Growing]:
        """What grows to be the lists of images and of annotations of a split."""
        if split not in self._splits:
            growing = self.files.place.growing
            self._splits[split] = growing(f"{split}.images"), growing(f"{split}.annotations")
        return self._splits[split]

    def _image(self, entry: Entry, name: str) -> dict[str, Any]:
        licence = self._number(entry.licence)
        own = {"id": self._images, "file_name": name, "width": entry.width, "height": entry.height}
        return own | {"license": licence, "coco_url": entry.original_url} | self.row(entry, name)

    def _number(self, licence: Licence | None) -> int:
        """Of one code and version; the first address stands for all, which may differ from picture to picture."""
        kind = licence and Licence(licence.code, licence.version)
        if kind not in self._licences:
            self._licences[kind] = len(self._licences) + 1
            self._links.append(licence.url if licence else None)
        return self._licences[kind]

    def _annotation(self, entry: Entry) -> dict[str, Any]:
        category = self._categories.setdefault(entry.label, len(self._categories) + 1)
        return {
            "id": self._images,
            "image_id": self._images,
            "category_id": category,
            "bbox": [0, 0, entry.width, entry.height],
            "area": entry.width * entry.height,
            "segmentation": [],
            "iscrowd": 0,
        }

    def guide(self) -> Guide:
        return guide_to_coco(list(self._splits), self.columns())

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "splits": list(self._splits),
            "categories": list(self._categories),
            "licences": [each and [each.code, each.version] for each in self._licences],
            "links": self._links,
            "images": self._images,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        for split in state["splits"]:
            self._texts(split)
        self._categories = {label: number for number, label in enumerate(state["categories"], 1)}
        licences = (each and Licence(*each) for each in state["licences"])
        self._licences = {licence: number for number, licence in enumerate(licences, 1)}
        self._links = list(state["links"])
        self._images = state["images"]

    def finish(self) -> None:
        head = {
            "info": {"description": _DESCRIPTION, "version": "1.0"},
            "licenses": [
                _licence(number, kind, link)
                for (kind, number), link in zip(self._licences.items(), self._links, strict=True)
            ],
            "categories": [
                {"id": number, "name": label, "supercategory": ""} for label, number in self._categories.items()
            ],
        }
        for split in self._splits:
            self._write(split, json.dumps(head, ensure_ascii=False))

    def _write(self, split: str, head: str) -> None:
        """The split's file, joined of its parts."""
        place = self.files.place
        whole = place.growing(f"{split}.json")
        whole.write(f'{head[:-1]}, "images": [\n'.encode())
        write_into(whole, place.finished(f"{split}.images"))
        whole.write(b'\n], "annotations": [\n')
        write_into(whole, place.finished(f"{split}.annotations"))
        whole.write(b"\n]}\n")
        self.files.add(f"annotations/instances_{split}.json", place.finished(f"{split}.json"))


def _append(text: Growing, item: Mapping[str, Any]) -> None:
    text.write((b",\n" if text.size else b"") + as_json(item))


def _licence(number: int, licence: Licence | None, link: str | None) -> dict[str, Any]:
    if licence is None:
        return {"id": number, "name": "No licence stated by the source", "url": ""}
    return {"id": number, "name": " ".join(filter(None, (licence.code, licence.version))), "url": link or ""}
