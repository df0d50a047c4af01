"""`gleanset serve`: the web alone, for machines where database and workers run by themselves."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Annotated

import structlog
import typer

from backend import logs
from backend.cli.processes import Stop
from backend.cli.sockets import address_of, listen
from backend.config import get_settings
from backend.db import Database

log = structlog.get_logger(__name__)


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 8000,
) -> None:
    """Serve the web page and the API until stopped; work is left to `gleanset worker`.

    Ctrl-C or SIGTERM stops gently: requests that are under way are answered first, and downloads have a while to end.
    """
    logs.configure(get_settings(), logging.INFO)
    with listen(host, port) as listening:
        asyncio.run(_serve(listening))


async def _serve(listening: socket.socket) -> None:
    from backend.cli.server import Web

    stop = Stop()
    settings = get_settings()
    async with await asyncio.to_thread(Database.ready, settings) as database:
        log.info("web is ready", url=address_of(listening))
        await Web(settings, database, listening).run(stop)
    log.info("web has stopped")
