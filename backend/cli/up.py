"""`gleanset up`: database, workers and web on this machine, in one command."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import sys
import webbrowser
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from io import TextIOWrapper
from typing import Annotated

import typer

from backend import logs
from backend.cli.display import note
from backend.cli.processes import Stop, Workers
from backend.cli.sockets import address_of, listen
from backend.config import Settings, get_settings
from backend.db import Database
from backend.errors import Conflict, DatabaseUnavailable
from backend.services import identity, profiles

_PORT = 8000


def up(
    *,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to listen on, 0 for a free one; 8000 or the next free one otherwise."
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option("--processes", "-p", min=0, help="Worker processes; one less than there are cores otherwise.")
    ] = max(1, (os.cpu_count() or 1) - 1),
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the link in the web browser.")] = False,
    piped: Annotated[bool, typer.Option("--piped", hidden=True, help="As the Python client starts it.")] = False,
) -> None:
    """Start everything on this machine and print a link to the web page that logs you in.

    Ctrl-C stops it gently; a second Ctrl-C at once. Run it again while it is up for another link.
    """
    settings = get_settings()
    verbose = logging.getLogger().isEnabledFor(logging.INFO)
    logs.configure(settings, logging.INFO if verbose else logging.WARNING)
    if piped:
        from backend.cli.piped import piped_up

        asyncio.run(piped_up(settings, processes))
        return
    with _only_one(settings) as (mine, running):
        if mine is None:
            if not running:
                raise Conflict(f"Another `gleanset up` is just starting with the data in {settings.home}.")
            asyncio.run(_link_to_running(settings, running, browser=browser))
            return
        with listen("127.0.0.1", _PORT if port is None else port, next_free=port is None) as listening:
            asyncio.run(_up_for_person(settings, listening, mine, processes, browser=browser))


async def _up_for_person(
    settings: Settings, listening: socket.socket, mine: TextIOWrapper, processes: int, *, browser: bool
) -> None:
    @asynccontextmanager
    async def greeting(database: Database) -> AsyncGenerator[None]:
        await _greet(settings, database, address_of(listening), mine, browser=browser)
        yield

    await run_all(settings, listening, processes, Stop(), greeting)


Greeting = Callable[[Database], AbstractAsyncContextManager[None]]
"""Entered when the web is there, and left when it has ended, while the database is still there."""


async def run_all(settings: Settings, listening: socket.socket, processes: int, stop: Stop, greeting: Greeting) -> None:
    """Database, web and workers, until stopped. Raises KeyboardInterrupt when that was asked for twice."""
    opening = asyncio.get_running_loop().run_in_executor(None, Database.ready, settings)
    from backend.cli.server import Web  # takes as long as the database does

    try:
        ready = await opening
    except DatabaseUnavailable:
        if stop.asked.is_set():  # a terminal's Ctrl-C goes to the programs that make the database, too
            raise KeyboardInterrupt from None
        raise
    async with ready as database:
        if stop.asked.is_set():
            return
        web = Web(settings, database, listening)
        level = settings.log_level or logging.getLevelName(logging.getLogger().level).lower()
        workers = Workers(processes, {"GLEANSET_LOG_LEVEL": level})
        running = [asyncio.create_task(web.run(stop))]
        started = asyncio.create_task(web.started.wait())
        async with AsyncExitStack() as greeted:
            try:
                await asyncio.wait({*running, started}, return_when=asyncio.FIRST_COMPLETED)
                if web.started.is_set():
                    await greeted.enter_async_context(greeting(database))
                    running.append(asyncio.create_task(workers.run(stop)))  # now: their start takes a core for a second
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            finally:
                started.cancel()
                stop.asked.set()
                await asyncio.gather(*running)
    if stop.now.is_set():
        raise KeyboardInterrupt


async def _greet(settings: Settings, database: Database, url: str, mine: TextIOWrapper, *, browser: bool) -> None:
    mine.truncate(0)
    mine.write(url)
    mine.flush()
    note(f"Gleanset is up; its data is in {settings.home}. Ctrl-C stops it.")
    await _show_link(settings, database, url, browser=browser)


async def _link_to_running(settings: Settings, url: str, *, browser: bool) -> None:
    note(f"Gleanset is up already for the data in {settings.home}.")
    async with await asyncio.to_thread(Database.ready, settings) as database:
        await _show_link(settings, database, url, browser=browser)


async def _show_link(settings: Settings, database: Database, url: str, *, browser: bool) -> None:
    """In local mode a link that logs the owner in; people with accounts log in themselves."""
    if settings.accounts == "local":
        async with database.transaction() as session:
            owner = await profiles.local_owner(session)
            url = f"{url}/login/{await identity.new_link(session, owner.id, by=owner.id)}"
        note("This link logs you in, once, within a quarter of an hour; `gleanset up` again prints another:")
    typer.echo(url)
    if browser and sys.stdout.isatty():
        await asyncio.to_thread(webbrowser.open, url)


@contextmanager
def _only_one(settings: Settings) -> Generator[tuple[TextIOWrapper | None, str]]:
    """A file that is locked while this process is the one that is up for the data folder, for its address; None and
    the address of the one that is."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "up").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            yield None, file.read()
            return
        file.truncate(0)
        yield file, ""
