"""Prints what Hugging Face's libraries make of an unpacked export: its card, and the rows that its card leads to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datasets import load_dataset
from huggingface_hub import DatasetCard

folder = Path(sys.argv[1])
card = DatasetCard((folder / "README.md").read_text())
rows = load_dataset(str(folder), split="train")
first = rows[0]["image"]
json.dump(
    {"card": card.data.to_dict(), "rows": len(rows), "size": list(first.size), "labels": sorted(set(rows["label"]))},
    sys.stdout,
)
