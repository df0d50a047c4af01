"""Leases of hosts from a shared book: asked for, renewed and given back for all hosts together.

One exchange carries everything there is to say, at most every few hundredths of a second, so that thousands of hosts
cost a handful of statements. Nobody asks the book before a request: a lease that is held says that the pace is ours.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from uuid import uuid4

from gleanset.book import LEASE, HostBook, HostState
from gleanset.fetch.hosts import Host

_TOGETHER = 0.02  # what is asked for within this time goes into one exchange
_POLL = 0.1  # between two questions for hosts that others hold
_LOOK = 0.25  # between two looks at what we hold ourselves
_IDLE = 0.5  # a host that nobody asks is kept so long
_HOLD = 2.0  # a host that others wait for is kept so long
_YIELD = 0.3  # and not asked for again before they had a chance
_RENEW = LEASE / 3
_LAST = 5.0  # for giving back at the end
_SURE = LEASE * 2 / 3  # of a lease only this much is used: a request may start late within it, and must not end after


class Leases:
    """Those of one client."""

    def __init__(self, book: HostBook) -> None:
        self._book = book
        self._holder = uuid4().hex
        self._held: dict[str, Host] = {}
        self._asked: dict[str, Host] = {}
        self._looked_at = 0.0
        self._wanted: set[str] = set()
        self._wake = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def ask(self, host: Host) -> None:
        """Have `host` leased as soon as nobody else holds it; its lease tells when."""
        self._asked[host.authority] = host
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def needs(self, host: Host) -> bool:
        """Whether the record of this host must stay in memory."""
        busy = host.visitors > 0 or host.lookup is not None
        return host.own or busy or host.authority in self._held or host.authority in self._asked

    async def close(self) -> None:
        """Give back everything."""
        if self._task is None:
            return
        self._closed = True
        self._wake.set()
        with suppress(Exception):  # where the book is out of reach, the leases run out by themselves
            async with asyncio.timeout(_LAST):
                await self._task
                await self._exchange({}, [], list(self._held.values()))

    async def _run(self) -> None:
        while not self._closed:
            await self._pause()
            now = time.monotonic()
            given_back = self._given_back(now)
            renewed = [host for host in self._held.values() if host.lease.dirty or now - host.lease.put_at > _RENEW]
            asked = {
                name: host
                for name, host in self._asked.items()
                if host.lease.not_before <= now and not host.lease.closing
            }
            if not (asked or renewed or given_back) and now - self._looked_at < _LOOK:
                continue
            self._looked_at = now
            try:
                await self._exchange(asked, renewed, given_back)
            except Exception as error:  # the book's own kind; those who wait for a host get it
                for name, host in asked.items():
                    del self._asked[name]
                    host.lease.arrived(error)

    async def _pause(self) -> None:
        seconds = _POLL if self._asked else _LOOK if self._held else None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()
        await asyncio.sleep(_TOGETHER)

    def _given_back(self, now: float) -> list[Host]:
        """Those that are ours no longer: idle ones, and those that others wait for when nothing is under way."""
        done: list[Host] = []
        for name, host in list(self._held.items()):
            lease = host.lease
            wanted = name in self._wanted and (lease.users == 0 or now - lease.taken_at > _HOLD)
            lease.closing = lease.closing or wanted
            idle = lease.users == 0 and now - lease.idle_since > _IDLE
            if lease.asking == 0 and (idle or lease.closing):
                done.append(host)
                self._release(host)
                if wanted:
                    lease.not_before = now + _YIELD
        return done

    def _release(self, host: Host) -> None:
        del self._held[host.authority]
        host.lease.until = 0.0
        host.lease.closing = False

    async def _exchange(self, asked: dict[str, Host], renewed: list[Host], given_back: list[Host]) -> None:
        began = time.monotonic()
        put: list[HostState] = [host.state(began) for host in (*renewed, *given_back)]
        versions = {name: host.version for name, host in asked.items()}
        try:
            answer = await self._book.exchange(self._holder, versions, put, [host.authority for host in given_back])
        except BaseException:
            for host, state in zip(renewed, put, strict=False):
                host.untold(state)
            raise
        for host in renewed:
            if host.authority in answer.kept:
                host.lease.until, host.lease.put_at = began + _SURE, began
            else:  # this process slept past its lease, and another has the host
                self._release(host)
        self._wanted = set(answer.wanted)
        now = time.monotonic()
        for state in answer.got:
            host = self._asked.pop(state.authority)
            self._held[state.authority] = host
            lease = host.lease
            host.take(state, now)
            lease.until, lease.put_at = began + _SURE, began
            lease.taken_at = lease.idle_since = now
            lease.arrived()
