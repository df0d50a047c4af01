"""Text of other people in Markdown: it stays on its line, and stays text."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

_MEANT = re.compile(r"[\\`*_\[\]<>&|~$]")
"""What means something within a line."""
# Controls, line ends of every kind, marks that turn the direction of what follows, and halves of characters.
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_IN_URLS = ":/?#[]@!$&'()*+,;=%~"


def plain(text: str, longest: int = 500) -> str:
    """One line of what can be seen, cut when it is longer."""
    line = _UNSEEN.sub(" ", text).strip()
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
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _safe(url: str) -> str | None:
    """An http(s) URL that cannot end what it stands in."""
    if not re.match(r"https?://[^/\s]", url, re.IGNORECASE):
        return None
    return quote(url.encode("utf-8", "replace"), safe=_IN_URLS)
