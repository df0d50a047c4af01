"""Looking up host names, beside all other work.

The system's resolver blocks a thread for as long as a name server keeps silent, half a minute and more. So lookups have
threads of their own, and nobody's time runs while he waits for one.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from threading import Thread

from aiohttp.abc import AbstractResolver, ResolveResult

_AT_ONCE = 64  # threads; each is started for one lookup
_KEPT = 60.0  # seconds for which an answer is
_MOST_KEPT = 10_000


class Resolver(AbstractResolver):
    """The system's resolver, with a few fixed names before it, as in /etc/hosts.

    `patience`: seconds for one lookup, from its beginning; one that takes longer raises OSError, as all that fail do.
    """

    def __init__(self, hosts: Mapping[str, str], patience: float) -> None:
        self._hosts = hosts
        self._patience = patience
        self._known: dict[str, tuple[float, list[ResolveResult]]] = {}
        self._under_way: dict[str, asyncio.Task[list[ResolveResult]]] = {}
        self._threads = asyncio.Semaphore(_AT_ONCE)

    def knows(self, host: str) -> bool:
        """Whether there is an answer already."""
        return host in self._known and self._known[host][0] > time.monotonic()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if self.knows(host):
            found = self._known[host][1]
        else:
            task = self._under_way.get(host)
            if task is None:
                task = self._under_way[host] = asyncio.create_task(self._look_up(host))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
            found = await asyncio.shield(task)
        wanted = [each for each in found if family in (socket.AF_UNSPEC, each["family"])]
        return [{**each, "port": port} for each in wanted]  # pyright: ignore[reportReturnType]

    async def close(self) -> None:
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_up(self, host: str) -> list[ResolveResult]:
        try:
            await self._threads.acquire()
            future = self._begin(self._hosts.get(host.lower(), host))
            try:
                async with asyncio.timeout(self._patience):
                    infos = await future
            except TimeoutError as error:
                raise OSError(f"no answer within {self._patience:g} s") from error
            found = [_result(host, info) for info in infos]
            now = time.monotonic()
            if len(self._known) >= _MOST_KEPT:
                self._known = {name: known for name, known in self._known.items() if known[0] > now}
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[host] = (now + _KEPT, found)
            return found
        finally:
            del self._under_way[host]

    def _begin(self, name: str) -> asyncio.Future[list[_Info]]:
        """A lookup in a thread, which holds up nobody when the program ends. Its place is free when it is through,
        also when nobody waits for it any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[_Info]] = loop.create_future()

        def end(found: list[_Info] | Exception) -> None:
            self._threads.release()
            if future.done():
                return
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found)

        def run() -> None:
            try:
                found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            except Exception as error:  # also UnicodeError, of names that cannot be
                found = error
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(end, found)

        Thread(target=run, name="gleanset-lookup", daemon=True).start()
        return future


_Info = tuple[
    socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]


def _result(host: str, info: _Info) -> ResolveResult:
    family, _, proto, _, address = info
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=str(address[0]), port=0, family=family, proto=proto, flags=numeric)
