"""What becomes of each URL of the small week: told by its host's kind and its own path, to the server and the judge."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

# On a host that answers, of 100 URLs in turn. A number after a fate is how many of the 100 it has.
_FAILING = {"missing": 7, "forbidden": 4, "page": 4, "cut": 3, "broken": 2, "short": 1, "hang": 1}
_PASSING = {"stumble": 3, "slam": 2, "slow": 3, "busy": 1}  # trouble once, and a picture when asked again
_FATES = [fate for fates in (_FAILING, _PASSING) for fate, count in fates.items() for _ in range(count)]
_FATES += ["fine"] * (100 - len(_FATES))

_REASONS = {
    "missing": "not_found",
    "forbidden": "forbidden",
    "page": "not_an_image",
    "cut": "truncated",
    "broken": "server_error",
    "short": "connection",
    "hang": "timeout",
}

_KINDS = {0: "dead", 1: "silent", 2: "closed", 3: "ruleless", 4: "calm", 5: "curt"}
"""Of 40 hosts. dead refuses connections, silent accepts them and says no more, closed disallows all in its robots.txt,
ruleless cannot give its robots.txt, calm has a Crawl-delay, curt ends each connection; the others are plain."""

_WHOLE = {
    "dead": {"connection", "host_down"},
    "silent": {"timeout", "host_down"},
    "closed": {"robots"},
    "ruleless": {"robots_unreachable"},
}

CALM = 5
"""The Crawl-delay of a calm host, in intervals of the others."""


def kind(host: int) -> str:
    return _KINDS.get(host % 40, "plain")


def address(host: int) -> str:
    """All of 127.0.0.0/8 leads to this machine, so every host has an address of its own."""
    return f"127.{1 + (host >> 16)}.{host >> 8 & 255}.{host & 255}"


def host_at(address: str) -> int:
    _, high, middle, low = map(int, address.split("."))
    return (high - 1) << 16 | middle << 8 | low


@dataclass(frozen=True, slots=True)
class Wanted:
    """A URL, and the reasons that it may end with; none when it is a picture that can be had."""

    url: str
    reasons: frozenset[str]


def wanted(urls: int, hosts: int, port: int, dead_port: int) -> Iterator[Wanted]:
    """So many URLs, the hosts' in no order."""
    numbers = list(range(urls))
    random.Random(7).shuffle(numbers)
    for number in numbers:
        turn, host = divmod(number, hosts)
        fate = _FATES[(37 * turn + 11 * host) % 100]
        at = f"{address(host)}:{dead_port if kind(host) == 'dead' else port}"
        reason = _REASONS.get(fate)
        reasons = _WHOLE.get(kind(host), {reason} if reason else set[str]())
        yield Wanted(f"http://{at}/{fate}/{number}.jpg", frozenset(reasons))
