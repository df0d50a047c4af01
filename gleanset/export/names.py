"""How the images of a dataset are named: what stands before the dot, and never twice in a folder of one label."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote, urlsplit

from gleanset.export.base import Entry

Scheme = Literal["sha256", "number", "original"]


class Names:
    """Names by one of the schemes.

    `sha256`: the hash of the content, so the same bytes have one name. `number`: counted for each label from 000001 on,
    in the order of packing. `original`: as the image's address ends, and 16 digits of its hash, because many end alike.
    """

    def __init__(self, scheme: Scheme = "sha256") -> None:
        self._scheme: Scheme = scheme
        self._counts: Counter[str] = Counter()

    def of(self, entry: Entry) -> str:
        """The name of the next image."""
        match self._scheme:
            case "sha256":
                return entry.sha256
            case "number":
                self._counts[entry.label] += 1
                return f"{self._counts[entry.label]:06}"
            case "original":
                return f"{_original(entry.original_url)}-{entry.sha256[:16]}"

    def state(self) -> Mapping[str, int]:
        """How far each label is counted, JSON-able."""
        return dict(self._counts)

    def restore(self, state: Mapping[str, int]) -> None:
        """Count on from there."""
        self._counts = Counter(state)


def _original(url: str) -> str:
    """The last part of the address without its end, safe on every file system."""
    try:
        path = urlsplit(url).path
    except ValueError:
        path = url
    last = unquote(path.rstrip("/").rpartition("/")[2])
    stem = re.sub(r"\.\w{1,5}$", "", last)
    plain = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", stem))[:80]
    plain = plain.encode()[:160].decode(errors="ignore").strip("_-")  # file systems take 255 bytes for a name
    return plain or "image"
