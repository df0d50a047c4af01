"""Addresses that a request names."""

from __future__ import annotations

import re

# One slash and no second one, no backslash (browsers take it for a slash), nothing that a header could not carry.
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def own_path(given: str | None) -> str:
    """The path when it is one of this site; else the first page, so that no link of ours leads people elsewhere."""
    return given if given is not None and len(given) <= 2000 and _PATH.fullmatch(given) else "/"
