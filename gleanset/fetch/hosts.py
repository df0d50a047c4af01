"""One host that a client visits: its pace, its health, its rules, and whether it is ours to ask right now."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext

from gleanset.book import HostState, SiteFiles
from gleanset.errors import FetchFailed
from gleanset.fetch.breaker import Breaker
from gleanset.fetch.pacing import LONGEST_QUIET, Pacer
from gleanset.fetch.rules import SiteRules
from gleanset.types import Pace, Reason
from gleanset.window import come_back, has_place, leave_place, take_place


class Lease:
    """Whether this process may ask a host. A host that is not shared is always its own; times are monotonic.

    `users` are those who want to ask or do, `asking` only the latter. `closing`: no new request may start, because
    another worker waits, which has its chance until `not_before`. `dirty`: the book does not know yet what we know.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.until = 0.0 if shared else math.inf
        self.taken_at = 0.0
        self.put_at = 0.0
        self.idle_since = 0.0
        self.not_before = 0.0
        self.users = 0
        self.asking = 0
        self.closing = False
        self.dirty = False
        self._arrival: asyncio.Future[None] | None = None

    def usable(self, now: float) -> bool:
        return now < self.until and not self.closing

    async def arrival(self, ask: Callable[[], None]) -> None:
        """Until the host is ours; `ask` starts the asking."""
        if self._arrival is None:
            self._arrival = asyncio.get_running_loop().create_future()
            self._arrival.add_done_callback(lambda done: done.cancelled() or done.exception())
            ask()
        await asyncio.shield(self._arrival)

    def arrived(self, error: Exception | None = None) -> None:
        """Ends the waiting for the host."""
        arrival, self._arrival = self._arrival, None
        if arrival is None or arrival.done():
            return
        if error is None:
            arrival.set_result(None)
        else:
            arrival.set_exception(error)


_REASONS = frozenset(reason.value for reason in Reason)


class Host:
    """One authority, host and port.

    An `own` host belongs to the user; `ask` asks the book for the lease of it. `visitors` have a URL of it under way,
    pauses before another try included. `answers` counts those that it began to give.
    """

    def __init__(self, authority: str, pace: Pace, *, own: bool, ask: Callable[[Host], None] | None = None) -> None:
        self.authority = authority
        self.own = own
        self.lease = Lease(shared=ask is not None and not own)
        self.pacer = Pacer(pace)
        self.breaker = Breaker()
        self.rules: SiteRules | None = None
        self.rules_until = 0.0
        self.lookup: asyncio.Task[None] | None = None
        self.visitors = 0
        self._door = asyncio.Lock()  # of those who wait for a closed host one looks at the clock
        self.answers = 0
        self._closed_since = self._closed_until = -math.inf
        self._files: SiteFiles | None = None
        self._files_are_new = False
        self._ask = ask

    @asynccontextmanager
    async def turn(self, patience: float, since: float | None = None) -> AsyncGenerator[None]:
        """The time of one request, once the host's pace allows one.

        `patience` is how long a host is waited for that wants quiet, or has answered and does not any more: from the
        moment `since`, or from when that began. Raises FetchFailed when it takes longer.
        """
        lease = self.lease
        while True:
            await self._open(patience, since)
            await come_back()
            lease.users += 1
            try:
                if not self.own and self.pacer.slots.locked():
                    leave_place()
                async with nullcontext() if self.own else self.pacer.slots:
                    if not await self._start():
                        continue
                    lease.asking += 1
                    try:
                        async with self._request():
                            yield
                            return
                    finally:
                        lease.asking -= 1
            finally:
                lease.users -= 1
                lease.idle_since = time.monotonic()

    async def leased(self) -> None:
        """Until the host is ours, and what other workers know of it is known here too."""
        while not self.lease.usable(time.monotonic()):
            leave_place()
            await self._arrival()

    async def _arrival(self) -> None:
        assert self._ask is not None, "only a shared host can be out of reach"
        ask = self._ask
        await self.lease.arrival(lambda: ask(self))

    async def _open(self, patience: float, since: float | None) -> None:
        """Until the host is ours, and neither wants quiet nor is down. Nobody is a user of the lease meanwhile, so a
        host that is left alone goes back into the book."""
        if self._door.locked():
            leave_place(self._closed_for(time.monotonic()))
        async with self._door:
            while True:
                await self.leased()
                now = time.monotonic()
                wait = self._closed_for(now)
                if wait <= 0:
                    return
                self._check_patience(now, wait, patience, since)
                leave_place(wait)
                await asyncio.sleep(wait)

    def _closed_for(self, now: float) -> float:
        return max(self.pacer.quiet_until - now, self.breaker.closed_for(now))

    def _check_patience(self, now: float, wait: float, patience: float, since: float | None) -> None:
        """Raises FetchFailed when the host is not to be waited for that long."""
        if since is None:
            if now > self._closed_until + patience:  # what was before is another story
                self._closed_since = now
            self._closed_until = now + wait
            since = self._closed_since
        late = now + wait - since > patience
        if late and (quiet := self.pacer.quiet_until - now) > 0:
            raise FetchFailed(Reason.RATE_LIMITED, f"the host asked for quiet, for {quiet:.0f} s more", quiet=quiet)
        if self.breaker.closed_for(now) > 0 and (late or not self._alive(now)):
            raise self.breaker.refusal(now)

    def _alive(self, now: float) -> bool:
        """Whether it has answered, here or lately elsewhere; others are not worth a wait."""
        return self.answers > 0 or now < self.rules_until

    @property
    def away(self) -> bool:
        """Whether it has answered, and is down now: what has just failed is no fault of the URL."""
        now = time.monotonic()
        return self.breaker.closed_for(now) > 0 and self._alive(now)

    async def _start(self) -> bool:
        """Until the request may start; whether it does, or the host has closed meanwhile."""
        while True:
            await self.leased()
            now = time.monotonic()
            if self._closed_for(now) > 0:
                return False
            wait = 0.0 if self.own else self.pacer.wait(now)
            if wait > 0:
                leave_place()
                await asyncio.sleep(wait)
            elif not has_place():
                await take_place()
            else:
                self.pacer.start(now)
                self.lease.dirty = self.lease.dirty or self.pacer.interval >= 1.0  # long enough to outlive a kill
                return True

    @asynccontextmanager
    async def _request(self) -> AsyncGenerator[None]:
        """To be entered at once behind `_start`: of those who find a host that was down, one is the probe."""
        probe = self.breaker.admit(time.monotonic())
        try:
            yield
        except FetchFailed as failure:
            self.breaker.failed(failure.reason, time.monotonic())
            raise
        finally:
            if probe:
                self.breaker.end_probe()

    def quiet(self, seconds: float) -> None:
        """Leave the host alone for a while, all of us; not longer than a day, whatever it says."""
        if not self.own:
            self.pacer.quiet(time.monotonic() + min(seconds, LONGEST_QUIET))
            self.lease.dirty = True

    def refused(self, first: float, asked: float) -> None:
        """It answered 429 or 503: leave it alone, for as long as it `asked` for or the longer the more often it does
        so. `first` is the least."""
        if not self.own:
            self.pacer.refused(time.monotonic(), first, asked)
            self.lease.dirty = True

    def answered(self, *, refused: bool) -> None:
        """It began an answer, which is no picture when it `refused`."""
        self.breaker.answered()
        self.answers += 1
        if not refused:
            self._closed_until = -math.inf
            self.pacer.relented()

    def learn(self, files: SiteFiles) -> None:
        """The host's own files, just asked for."""
        self._set(files)
        self._files_are_new = self.lease.dirty = True

    def keep_stale(self, seconds: float) -> None:
        """The files cannot be had at the moment: go on with those we have."""
        self.rules_until = time.monotonic() + seconds

    @property
    def version(self) -> int:
        """How often the files were asked for, by any worker; 0 when they never were."""
        return self._files.version if self._files else 0

    def state(self, now: float) -> HostState:
        """What the book is to know. It counts as told from here on."""
        self.lease.dirty = False
        new, self._files_are_new = self._files if self._files_are_new else None, False
        return HostState(
            authority=self.authority,
            ready_in=self.pacer.ready_at - now,
            quiet_for=self.pacer.quiet_until - now,
            failures=self.breaker.failures,
            failure=self.breaker.cause,
            down_for=self.breaker.down_until - now,
            files=new,
        )

    def untold(self, state: HostState) -> None:
        """The book did not get this state."""
        self.lease.dirty = True
        self._files_are_new = self._files_are_new or state.files is not None

    def take(self, state: HostState, now: float) -> None:
        """What the book says, when the host has just become ours."""
        if state.files is not None:
            self._set(state.files)
        self.pacer.ready_at = max(self.pacer.ready_at, now + state.ready_in)
        self.pacer.quiet(now + state.quiet_for)
        self.breaker.failures = state.failures
        self.breaker.cause = Reason(state.failure) if state.failure in _REASONS else None
        self.breaker.down_until = now + state.down_for

    def _set(self, files: SiteFiles) -> None:
        self._files = files
        self.rules = SiteRules(files)
        self.rules_until = time.monotonic() + files.fresh_for
        self.pacer.keep_crawl_delay(self.rules.crawl_delay)
