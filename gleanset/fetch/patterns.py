"""Patterns that name hosts and paths: of robots.txt, of tdmrep.json, and of a person's own hosts."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote


def covers(pattern: str, path: str) -> bool:
    """Whether the pattern begins `path` (percent-decoded, with its query): `*` is any text, a last `$` the end."""
    anchored = pattern.endswith("$")
    first, *rest = (unquote(part) for part in pattern.removesuffix("$").split("*"))
    if not path.startswith(first):
        return False
    if not rest:
        return not anchored or path == first
    at = len(first)
    for part in rest[:-1]:
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return path.endswith(rest[-1], at) if anchored else path.find(rest[-1], at) >= 0


class HostPatterns:
    """Names of hosts, without regard to case; `*.example.org` names those below example.org, not itself."""

    def __init__(self, patterns: Iterable[str]) -> None:
        names = {pattern.strip().lower().rstrip(".") for pattern in patterns}
        self._names = {name for name in names if not name.startswith("*.")}
        self._above = tuple(name[1:] for name in names if name.startswith("*."))

    def __contains__(self, host: str) -> bool:
        host = host.lower().rstrip(".")
        return host in self._names or host.endswith(self._above)
