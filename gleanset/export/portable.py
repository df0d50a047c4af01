"""Names that not every system can unpack as they are: Windows and macOS take some for devices, some for each other."""

from __future__ import annotations

import hashlib
import re
import unicodedata

DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$')


def is_portable(name: str) -> bool:
    """Whether every step of the path is a name on Windows too: no device's, and without what means something there."""
    return not any(
        _NOT_ON_WINDOWS.search(step) or step.partition(".")[0].rstrip().casefold() in DEVICES
        for step in name.split("/")
    )  # fmt: skip


class Alike:
    """Finds names that are one where case, or how an accent is written, makes no difference.

    Only what is not in small letters is remembered, by 16 bytes of a hash: of two such names one is not.
    """

    def __init__(self) -> None:
        self._folded: dict[bytes, int] = {}

    def note(self, name: str) -> None:
        """Hear of a name, each once."""
        if (folded := _folded(name)) != name:
            key = _key(folded)
            self._folded[key] = self._folded.get(key, 0) + 1

    def has(self, name: str) -> bool:
        """Whether another name, when all are noted, is the same but for this."""
        folded = _folded(name)
        count = self._folded.get(_key(folded), 0)
        return count > 1 or (count == 1 and folded == name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _key(folded: str) -> bytes:
    return hashlib.blake2b(folded.encode("utf-8", "backslashreplace"), digest_size=16).digest()
