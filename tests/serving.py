"""The web application on a real socket, with people in its database: for the tests of the API and of the pages."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import uvicorn
from sqlalchemy.ext.asyncio import AsyncSession

from backend.app import create_app
from backend.config import Settings
from backend.db import Database
from backend.http.access import COOKIE, csrf_token
from backend.models import Profile
from backend.models.enums import Role
from backend.services import identity

Answer = TypeVar("Answer")


@dataclass
class Served:
    """A web process in a thread of its own. `run` does something in its database, in a transaction of its own."""

    url: str
    settings: Settings
    database: Database
    loop: asyncio.AbstractEventLoop

    def run(self, work: Callable[[AsyncSession], Awaitable[Answer]]) -> Answer:
        async def inside() -> Answer:
            async with self.database.transaction() as session:
                return await work(session)

        return self.do(inside())

    def do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Something in its event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def person(self, role: Role = Role.USER) -> UUID:
        """Somebody new."""
        user_id = uuid4()

        async def make(session: AsyncSession) -> UUID:
            session.add(Profile(id=user_id, email=f"{user_id.hex[:12]}@example.org", role=role.value))
            return user_id

        return self.run(make)

    def anonymous(self, **options: Any) -> httpx.Client:
        """Without the certificates of the world, which take a client 30 ms to read."""
        return httpx.Client(base_url=self.url, timeout=30, verify=False, **options)

    def browser(self, user_id: UUID, **options: Any) -> httpx.Client:
        """A client that is logged in, and sends the CSRF token with everything."""
        token = self.run(lambda session: identity.open_session(session, user_id, "tests"))
        return self.anonymous(cookies={COOKIE: token}, headers={"X-CSRF-Token": csrf_token(token)}, **options)


@contextmanager
def serving(settings: Settings, url: str) -> Iterator[Served]:
    """The application over the database at `url`, on a free port of loopback."""
    ready, ended = threading.Event(), threading.Event()
    made: list[Served] = []
    server: list[uvicorn.Server] = []

    async def main() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            async with Database(url) as database:
                app = create_app(settings, database)
                config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=2)
                server.append(uvicorn.Server(config))
                address = f"http://127.0.0.1:{listening.getsockname()[1]}"
                made.append(Served(address, settings, database, asyncio.get_running_loop()))
                serve = asyncio.create_task(server[0].serve(sockets=[listening]))
                while not server[0].started and not serve.done():
                    await asyncio.sleep(0.01)
                ready.set()
                await serve

    def run() -> None:
        try:
            asyncio.run(main())
        finally:
            ready.set()
            ended.set()

    threading.Thread(target=run, name="web", daemon=True).start()
    assert ready.wait(30)
    assert made, "the application did not start"
    try:
        yield made[0]
    finally:
        server[0].should_exit = True
        assert ended.wait(30)
