"""The window of a crawl: how many candidates may be on the network or in memory at once.

A candidate that has to wait for its host gives up its place meanwhile, so a slow host holds up no other. When the wait
is long it stands aside: then it also hands back its claim on one of the downloads that are still wanted.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

LONG = 5.0
"""Seconds of waiting from which on another candidate may have the download."""


class Window:
    """So many places. `wanted`: downloads that are wanted in all; any number when None."""

    def __init__(self, size: int, wanted: int | None = None) -> None:
        self._free = asyncio.Semaphore(size)
        # Never more candidates on their way than downloads still wanted: a limit costs no needless fetches.
        self._wanted = None if wanted is None else asyncio.Semaphore(wanted)

    async def place(self) -> Place:
        """A place, when there is one and something is still wanted."""
        place = Place(self._free, self._wanted)
        await place.come_back()
        await place.take()
        return place


class Place:
    """One candidate's place, which it may leave and take again."""

    def __init__(self, free: asyncio.Semaphore, wanted: asyncio.Semaphore | None = None) -> None:
        self._free = free
        self._wanted = wanted
        self._claimed = False
        self.held = False

    def another(self) -> Place:
        """A place in the same window, which is still to be taken, and claims no download."""
        return Place(self._free)

    def leave(self) -> None:
        if self.held:
            self.held = False
            self._free.release()

    def stand_aside(self) -> None:
        """Leave the place, and let another candidate have the download."""
        self.leave()
        if self._wanted is not None and self._claimed:
            self._claimed = False
            self._wanted.release()

    async def come_back(self) -> None:
        if self._wanted is not None and not self._claimed:
            await self._wanted.acquire()
            self._claimed = True

    async def take(self) -> None:
        if not self.held:
            await self._free.acquire()
            self.held = True


PLACE: ContextVar[Place | None] = ContextVar("place", default=None)
"""The place of the candidate that the running task works on."""


def leave_place(seconds: float = 0.0) -> None:
    """Called before a wait for a host, of so many seconds as far as that is known."""
    place = PLACE.get()
    if place is None:
        return
    if seconds > LONG:
        place.stand_aside()
    else:
        place.leave()


async def come_back() -> None:
    """Called after a wait that may have been long, before anything else is waited for: until a download is wanted."""
    if place := PLACE.get():
        await place.come_back()


async def take_place() -> None:
    """Called after a wait, before anything is asked of the host."""
    if place := PLACE.get():
        await place.take()


def use_another_place() -> None:
    """Called by a task that works for many candidates at once, in a context of its own; it must leave the place."""
    if place := PLACE.get():
        PLACE.set(place.another())


def has_place() -> bool:
    """Whether something may be asked now."""
    place = PLACE.get()
    return place is None or place.held
