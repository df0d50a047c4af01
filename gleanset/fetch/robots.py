"""robots.txt (RFC 9309): what a site lets `gleanset` ask for, how often, and what for (AIPREF's Content-Usage)."""

from __future__ import annotations

import re
from urllib.parse import unquote

from protego import Protego
from yarl import URL

from gleanset.fetch.optout import usage
from gleanset.fetch.patterns import covers

PRODUCT = "gleanset"
"""The product token that a robots.txt may name, in upper or lower case."""

MAX_BYTES = 500 * 1024
"""Of a robots.txt this much is read, and the rest is not."""

_AGENT = re.compile(r"user[- ]?agent\s*[:\s]\s*(.*)", re.IGNORECASE)
_TOKEN = re.compile(r"[a-z_-]+")
_OF_THE_SITE = re.compile(r"(?:site-?maps?|host)\s*:", re.IGNORECASE)  # belong to no group and end none
_USAGE = re.compile(r"content-usage\s*:\s*(/\S*)?(.*)", re.IGNORECASE)
_MOST_USAGE_RULES = 1000  # each is held to every URL


class Robots:
    """The rules of one robots.txt that bind us."""

    def __init__(self, text: str) -> None:
        lines = binding_lines(text)
        self._rules = Protego.parse("\n".join(["User-agent: *", *lines]))
        self._usage = _usage_rules(lines)
        self.crawl_delay = self._rules.crawl_delay("*")

    def allows(self, url: URL) -> bool:
        return self._rules.can_fetch(f"http://host{url.raw_path_qs}", "*")

    def reserves(self, url: URL) -> bool:
        """Whether the longest Content-Usage rule for this URL says `train-ai=n`; of two as long, `n` wins."""
        if not self._usage:
            return False
        path = unquote(url.raw_path_qs)
        found = [(len(pattern), not allowed) for pattern, allowed in self._usage if covers(pattern, path)]
        return max(found, default=(0, False))[1]


def decoded(body: bytes) -> str:
    """The text of a file of rules, whatever its encoding: what is not UTF-8, or is NUL, cannot be part of a rule."""
    return body.decode("utf-8-sig", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def binding_lines(text: str) -> list[str]:
    """The rules of all groups for `gleanset`; where there is none, of all groups for `*`.

    The parser of patterns only gets these: of a file with thousands of groups it would make each rule thousands of
    times.
    """
    named: list[str] | None = None
    general: list[str] = []
    ours, everybodys, in_rules = False, False, True
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        if not line or _OF_THE_SITE.match(line):
            continue
        if agent := _AGENT.match(line):
            if in_rules:
                ours, everybodys, in_rules = False, False, False
            token = _TOKEN.match(agent[1].lower())
            everybodys = everybodys or agent[1] == "*"
            ours = ours or (token is not None and token[0] == PRODUCT)
            if ours and named is None:
                named = []
            continue
        in_rules = True
        if ours and named is not None:
            named.append(line)
        if everybodys:
            general.append(line)
    return general if named is None else named


def _usage_rules(lines: list[str]) -> list[tuple[str, bool]]:
    """Path patterns with whether they allow training. A rule without a path is for the whole site."""
    found = [match for line in lines if (match := _USAGE.match(line))][:_MOST_USAGE_RULES]
    return [(match[1] or "/", said) for match in found if (said := usage([match[2]])) is not None]
