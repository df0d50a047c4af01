"""Text of other people in Markdown: it stays on its line, and stays text."""

from __future__ import annotations

import re
from urllib.parse import quote

_MEANT = re.compile(r"[\\`*_\[\]<>&|~$]")
"""What means something within a line."""
# Controls, line ends of every kind, marks that turn the direction of what follows, and halves of characters.
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_IN_URLS = ":/?#[]@!$&'()*+,;=%~"
_SAFE = re.compile(rf"[A-Za-z0-9._\-{re.escape(_IN_URLS)}]*")
_HOST = re.compile(r"https?://(?:[^/?#@]*@)?(\[[^\]/?#]*\]|[^/?#:]+)", re.IGNORECASE)
_WEB = re.compile(r"https?://[^/\s]", re.IGNORECASE)


def plain(text: str, longest: int = 500) -> str:
    """One line of what can be seen, cut when it is longer."""
    line = text if text.isascii() and text.isprintable() else _UNSEEN.sub(" ", text)
    line = line.strip()
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def escaped(text: str, longest: int = 500) -> str:
    """The same as it stands in Markdown."""
    return _MEANT.sub(r"\\\g<0>", plain(text, longest))


def link(text: str, url: str | None) -> str:
    """The text, leading to the URL when that is one of the web; text and URL are as others wrote them."""
    safe = _safe(url) if url else None
    return f"[{escaped(text)}](<{safe}>)" if safe else escaped(text)


def host(url: str) -> str:
    """What a person calls the place where the URL leads."""
    found = _HOST.match(url)
    return found[1].lower() if found else url


def _safe(url: str) -> str | None:
    """An http(s) URL that cannot end what it stands in."""
    if not _WEB.match(url):
        return None
    return url if _SAFE.fullmatch(url) else quote(url.encode("utf-8", "replace"), safe=_IN_URLS)
