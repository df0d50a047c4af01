"""How the commands that run until they are stopped are stopped, and worker processes as their children."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import suppress

import structlog

log = structlog.get_logger(__name__)

_LIVED = 10.0
"""Seconds. A worker that lived for less has a lasting reason to end, and starting others at once would cost a core."""


class Stop:
    """SIGINT or SIGTERM asks for a gentle end (`asked`); a second Ctrl-C for one at once (`now`).

    A second SIGTERM says nothing new: service managers send it to the children as well as their parent does.
    """

    def __init__(self) -> None:
        self.asked, self.now = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._heard, number)

    def _heard(self, number: int) -> None:
        if self.asked.is_set() and number == signal.SIGINT:
            self.now.set()
        self.asked.set()


class Workers:
    """Worker processes of this machine: one that dies is replaced. They stop when this process is gone, too."""

    def __init__(self, count: int, environment: Mapping[str, str] | None = None) -> None:
        self._count = count
        self._environment = {**os.environ, **(environment or {})}
        self._children: list[Process] = []
        self._born: dict[int, float] = {}

    async def run(self, stop: Stop) -> None:
        """Keep them running until stopped, then see them to their end."""
        try:
            self._children = [await self._spawn() for _ in range(self._count)]
            while not stop.asked.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.asked.wait(), 0.5)
                await self._replace_dead(stop)
            await self._end(stop)
        finally:
            for child in self._running():
                child.kill()

    async def _replace_dead(self, stop: Stop) -> None:
        for place, child in enumerate(self._children):
            if child.returncode is None or stop.asked.is_set():
                continue
            if time.monotonic() - self._born[child.pid] < _LIVED:
                log.error("worker process ended soon, waiting before another", pid=child.pid, code=child.returncode)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.asked.wait(), _LIVED)
                if stop.asked.is_set():
                    return
            log.warning("worker process ended, starting another", pid=child.pid, code=child.returncode)
            self._children[place] = await self._spawn()

    async def _end(self, stop: Stop) -> None:
        for child in self._running():
            child.terminate()
        ended = asyncio.gather(*(child.wait() for child in self._children))
        at_once = asyncio.create_task(stop.now.wait())
        await asyncio.wait({ended, at_once}, return_when=asyncio.FIRST_COMPLETED)
        at_once.cancel()
        for child in self._running():
            child.kill()
        await ended

    def _running(self) -> list[Process]:
        return [child for child in self._children if child.returncode is None]

    async def _spawn(self) -> Process:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "backend.cli", "worker", "--parent", str(os.getpid())),
            env=self._environment,
            process_group=0,  # a terminal's Ctrl-C is for this process, which tells its children once
        )
        self._born[child.pid] = time.monotonic()
        return child
