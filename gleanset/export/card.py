"""README.md of a dataset: what is in it, where it comes from, and what was left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gleanset.export.base import About, Entry
from gleanset.export.files import Files
from gleanset.export.paper import Paper, Written


class Card(Paper):
    """README.md, of counts that are gathered while the images stream by."""

    def __init__(self, files: Files, about: About) -> None:
        super().__init__(files, about)
        self._tally = Tally()

    def add(self, written: Written) -> None:
        self._tally.add(written.entry)

    def state(self) -> dict[str, Any]:
        return {each.name: getattr(self._tally, each.name) for each in fields(Tally)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._tally = Tally.restored(state)

    def finish(self) -> None:
        self.files.add("README.md", dataset_card(self.about, self._tally).encode())


@dataclass(slots=True)
class Tally:
    """Counts that the card needs, gathered while the entries stream by."""

    images: int = 0
    bytes: int = 0
    labels: Counter[str] = field(default_factory=Counter[str])
    sources: Counter[str] = field(default_factory=Counter[str])
    licences: Counter[str] = field(default_factory=Counter[str])
    formats: Counter[str] = field(default_factory=Counter[str])

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Tally:
        """From its fields, which have been JSON meanwhile."""
        counters: dict[str, Counter[str]] = {
            name: Counter(state[name]) for name in ("labels", "sources", "licences", "formats")
        }
        return cls(images=state["images"], bytes=state["bytes"], **counters)

    def add(self, entry: Entry) -> None:
        self.images += 1
        self.bytes += entry.file_size
        self.labels[entry.label] += 1
        self.sources[entry.source or "unknown"] += 1
        licence = entry.licence
        self.licences[f"{licence.code} {licence.version or ''}".strip() if licence else "unknown"] += 1
        self.formats[entry.format] += 1


def dataset_card(about: About, tally: Tally) -> str:
    """The card as Markdown, with the YAML head that the Hugging Face hub reads."""
    # JSON is YAML; it keeps a hostile name from ending the head.
    return f"""---
pretty_name: {json.dumps(about.name, ensure_ascii=False)}
task_categories:
- image-classification
size_categories:
- {_size_category(tally.images)}
---

# {_inline(about.name)}

{tally.images:,} images ({tally.bytes:,} bytes), gathered with Gleanset on {about.created:%Y-%m-%d}.

- `images/<label>/<sha256>.<ext>`: the original bytes, untouched, under their SHA-256
- `metadata.jsonl`, `metadata.csv`: label, size, hash, source page, creator, licence and attribution of every image
- `MANIFEST.sha256`: check it with `sha256sum -c MANIFEST.sha256`

Load it with `datasets.load_dataset("imagefolder", data_dir=...)` on the unpacked folder.

## Licences

Each image has the licence in its row of the metadata, as its source states it; `unknown` means that the source states
none, and permission is yours to find out. Attribution lines for CC BY images are in the metadata.

{_table("Licence", tally.licences)}
## Labels

{_table("Label", tally.labels)}
## Sources

{_table("Source", tally.sources)}
## Formats

{_table("Format", tally.formats)}
## How it was made

Keywords: `{_inline(json.dumps(about.keywords, ensure_ascii=False))}`

Rules: `{_inline(json.dumps(dict(about.rules), ensure_ascii=False))}`

{_changes(about.changes)}Images that could not be had, by reason:

{_table("Reason", about.failures)}
Images that broke a rule, by rule (one image may break several):

{_table("Rule", about.invalid)}"""


def _changes(changes: Mapping[str, int]) -> str:
    return (
        f"Images since the crawl before, which this one refreshed:\n\n{_table('Change', changes)}\n" if changes else ""
    )


def _table(head: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return "None.\n"
    rows = "".join(
        f"| {_inline(name)} | {count:,} |\n" for name, count in sorted(counts.items(), key=lambda c: (-c[1], c[0]))
    )
    return f"| {head} | Images |\n|---|---:|\n{rows}"


def _inline(text: str) -> str:
    """Text that cannot break out of a line, a table cell or a code span; labels come from other people."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'").replace("<", "&lt;")


def _size_category(images: int) -> str:
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if images < limit:
            return name
    return "1M<n<10M"
