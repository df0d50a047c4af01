"""Opt-outs that a site states beside its robots.txt, read from headers and from /.well-known/tdmrep.json.

All of it is hostile input: what cannot be understood counts as not said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

from gleanset.fetch.patterns import covers

_OUT = {"noai", "noimageai", "noindex", "noimageindex", "none"}
_OURS = {"gleanset", "*"}
_WITH_VALUE = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
_PREFIX = re.compile(r"\s*([a-z*][\w.*-]*)\s*:(.*)", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"?')
_MOST_LOCATIONS = 1000  # each is held to every URL

TdmFile = tuple[tuple[str, bool | None], ...]
"""Locations of a tdmrep.json in order, each with whether rights are reserved there (None: the entry does not say)."""


def robots_tag(values: Iterable[str]) -> str | None:
    """The first directive of the X-Robots-Tag headers that keeps us out, in lower case."""
    return next((said for said in directives(values) if said in _OUT), None)


def directives(values: Iterable[str]) -> Iterator[str]:
    """All directives of the X-Robots-Tag headers that concern us, in lower case.

    A user agent before a directive binds it and those behind it, up to the next user agent of the same header.
    """
    for value in values:
        ours = True
        for part in value.split(","):
            directive = part
            while (match := _PREFIX.match(directive)) and match[1].lower() not in _WITH_VALUE:
                ours, directive = match[1].lower() in _OURS, match[2]
            if ours:
                yield directive.strip().lower()


def tdm_header(values: Iterable[str]) -> bool | None:
    """Whether the `tdm-reservation` headers reserve the rights of text and data mining; None when they do not say."""
    said = {value.strip() for value in values}
    return True if "1" in said else (False if "0" in said else None)


def tdm_file(text: str) -> TdmFile:
    """The entries of a tdmrep.json."""
    try:
        entries: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(entries, list):
        return ()
    found: list[tuple[str, bool | None]] = []
    for entry in cast("list[Any]", entries)[:_MOST_LOCATIONS]:
        if isinstance(entry, dict):
            fields = cast("dict[str, Any]", entry)
            location = fields.get("location")
            if isinstance(location, str):
                found.append((location, tdm_header([str(fields.get("tdm-reservation"))])))
    return tuple(found)


def tdm_reserved(file: TdmFile, path: str) -> bool | None:
    """What the first entry whose location covers the path (percent-decoded, with its query) says."""
    return next((reserved for location, reserved in file if covers(location, path)), None)


def usage(values: Iterable[str]) -> bool | None:
    """Whether Content-Usage (AIPREF: a dictionary such as `train-ai=n, search=y`) allows training.

    None when it does not say; where it says both, the more restrictive holds.
    """
    said: set[str] = set()
    for value in values:
        for member in _QUOTED.sub("", value).split(","):
            key, _, preference = member.partition(";")[0].partition("=")
            if key.strip().lower() == "train-ai":
                said.add(preference.strip().lower())
    return False if "n" in said else (True if "y" in said else None)
