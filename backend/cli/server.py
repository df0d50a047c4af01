"""The web server of `gleanset serve` and `gleanset up`: uvicorn with our own signals and log."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress

import uvicorn

from backend.app import create_app
from backend.cli.processes import Stop
from backend.config import Settings
from backend.db import Database
from backend.http.downloads import UNDER_WAY

_DRAIN = 5
"""Seconds that requests have to end when the server stops; downloads have what the setting says."""


class Server(uvicorn.Server):
    """Leaves signals to the command that runs it."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Web:
    """The web application on a socket, from start to drained end."""

    def __init__(self, settings: Settings, database: Database, listening: socket.socket) -> None:
        self._server = Server(
            uvicorn.Config(
                create_app(settings, database),
                lifespan="on",
                log_config=None,
                access_log=False,  # requests are logged with their ids by the application
                server_header=False,
                proxy_headers=settings.trusted_proxies is not None,
                forwarded_allow_ips=settings.trusted_proxies or "",
                timeout_graceful_shutdown=max(_DRAIN, settings.download_grace),
            )
        )
        self._listening = listening
        self.started = asyncio.Event()

    async def run(self, stop: Stop) -> None:
        """Serve until stopped. Raises OSError or what the application raised when it did not start."""
        serving = asyncio.create_task(self._server.serve(sockets=[self._listening]))
        starting = asyncio.create_task(self._tell_started())
        for wish, act in ((stop.asked, self._leave), (stop.now, self._leave_now)):
            asked = asyncio.create_task(wish.wait())
            await asyncio.wait({asked, serving}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if serving.done():
                break
            act()
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await serving

    def _leave(self) -> None:
        # Through the method that signals would call: sse-starlette listens there for the end of its streams.
        self._server.handle_exit(signal.SIGTERM, None)
        asyncio.get_running_loop().call_later(_DRAIN, self._cut_off)

    def _cut_off(self) -> None:
        """End what is under way, but for downloads."""
        for task in self._server.server_state.tasks - set(UNDER_WAY):
            task.cancel()

    def _leave_now(self) -> None:
        self._server.force_exit = True

    async def _tell_started(self) -> None:
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        _leave_to_stay()
        self.started.set()


def _leave_to_stay() -> None:
    """Take what is loaded by now, 200,000 objects, out of garbage collections: it stays as long as the process does.

    A hundred clients that ask once a second make the collector walk it three times in twenty seconds, for 0.16 to
    0.3 s in which nobody is answered; without it, for 0.01.
    """
    gc.freeze()
