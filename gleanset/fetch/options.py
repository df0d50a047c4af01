"""The limits and manners of one client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import aiohttp

from gleanset.types import Pace


def user_agent(contact: str | None = None) -> str:
    """The honest User-Agent: `gleanset/VERSION (CONTACT) aiohttp/VERSION`, the form Wikimedia's policy asks for."""
    return f"gleanset/{version('gleanset')} ({contact or 'no contact set'}) aiohttp/{aiohttp.__version__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """Limits of one client. Times are seconds, sizes bytes after content decoding.

    `total_timeout` bounds the time that one URL takes on the network, its redirects and retries together. Pauses before
    a retry and the wait for the host's turn do not count, nor do looking up its name, which may take `lookup_timeout`,
    and asking for its rules.

    `patience` is how long, from its last good answer, a host is waited for that asks for quiet or does not answer any
    more, before its pictures and pages fail; `service_patience` is how long one request waits for a service that wants
    quiet, `max_retry_after` the same for other files that are asked for by name.

    `pace` is for every host that `paces`, by host name, has no other for. `own_hosts` are names, or patterns such as
    `*.example.org`, of hosts that belong to the user: robots.txt, opt-outs and pacing do not concern them. `hosts` are
    fixed addresses of names, as in /etc/hosts.
    """

    user_agent: str = field(default_factory=user_agent)
    pace: Pace = Pace(4, 0.05)  # noqa: RUF009 - it is frozen
    paces: Mapping[str, Pace] = field(default_factory=dict[str, Pace])
    own_hosts: frozenset[str] = frozenset()
    total_timeout: float = 60.0
    lookup_timeout: float = 20.0
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    max_bytes: int = 32 * 1024 * 1024
    max_redirects: int = 5
    attempts: int = 3
    back_off: float = 0.5
    max_retry_after: float = 30.0
    service_patience: float = 120.0
    patience: float = 1200.0
    allow_private: bool = False
    ports: frozenset[int] = frozenset({80, 443, 8080, 8443})
    hosts: Mapping[str, str] = field(default_factory=dict[str, str])
