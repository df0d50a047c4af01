"""Prints what Hugging Face's libraries make of unpacked exports: their cards, and the rows that a card leads to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from datasets import load_dataset
from huggingface_hub import DatasetCard


def read(folder: str) -> dict[str, Any]:
    card = DatasetCard((Path(folder) / "README.md").read_text())
    splits = load_dataset(folder)
    return {
        "card": card.data.to_dict(),
        "rows": {name: len(rows) for name, rows in splits.items()},
        "size": list(splits["train"][0]["image"].size),
        "labels": sorted(set(splits["train"]["label"])),
    }


json.dump([read(folder) for folder in sys.argv[1:]], sys.stdout)
