"""The book of hosts: what all workers together know of the hosts they visit, and whose turn each host is.

A host belongs to one worker at a time. So the worker that has it can keep the host's pace by itself, without asking
anybody before a request, and what it learned goes back into the book with the host.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

LEASE = 15.0
"""Seconds for which a host belongs to a worker, from the last exchange that put it into the book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFiles:
    """What a host answered for its robots.txt (a final status, and the text of a 2xx) and its tdmrep.json.

    A status of 0 stands for an answer that could not be read to its end; its text says why.
    `fresh_for`: seconds from now until they are to be asked for again. `version` counts how often they were.
    """

    robots_status: int
    robots: str = ""
    tdm: str = ""
    fresh_for: float = 0.0
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """What the book says of one host. Times are seconds from now, below 0 when they are past.

    `failure` is the reason for which the first of the `failures` in a row had no answer. `files` is None where nothing
    is known, or nothing new.
    """

    authority: str
    ready_in: float = 0.0
    quiet_for: float = 0.0
    failures: int = 0
    failure: str | None = None
    down_for: float = 0.0
    files: SiteFiles | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """`got`: hosts that belong to this worker from now on. `kept`: those put that still do. `wanted`: those of its
    hosts that another worker waits for."""

    got: Sequence[HostState]
    kept: Collection[str]
    wanted: Collection[str]


class HostBook(Protocol):
    """Where workers share their hosts; several may be asked at once, by many workers."""

    async def exchange(
        self, holder: str, asked: Mapping[str, int], put: Sequence[HostState], given_back: Collection[str]
    ) -> Exchanged:
        """Put the states of hosts that belong to `holder`, of which those in `given_back` stop doing so, and ask for
        others: authorities with the version of the files that are known of each."""
        ...
