"""The window of a crawl: how many candidates may be on the network or in memory at once.

A candidate that has to wait for its host gives up its place meanwhile, so a slow host holds up no other.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar


class Window:
    """So many places."""

    def __init__(self, size: int) -> None:
        self._free = asyncio.Semaphore(size)

    async def place(self) -> Place:
        """A place, when there is one."""
        await self._free.acquire()
        return Place(self._free)


class Place:
    """One candidate's place, which it may leave and take again."""

    def __init__(self, free: asyncio.Semaphore, *, held: bool = True) -> None:
        self._free = free
        self.held = held

    def another(self) -> Place:
        """A place in the same window, which is still to be taken."""
        return Place(self._free, held=False)

    def leave(self) -> None:
        if self.held:
            self.held = False
            self._free.release()

    async def take(self) -> None:
        if not self.held:
            await self._free.acquire()
            self.held = True


PLACE: ContextVar[Place | None] = ContextVar("place", default=None)
"""The place of the candidate that the running task works on."""


def leave_place() -> None:
    """Called before a wait for a host."""
    if place := PLACE.get():
        place.leave()


async def take_place() -> None:
    """Called after it, before anything is asked of the host."""
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
