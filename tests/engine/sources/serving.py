"""A web application on a loopback port."""

from __future__ import annotations

from typing import Any

from aiohttp import web


class Served:
    """A fake service; use as an async context manager."""

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None
        self.origin = ""

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    async def start(self) -> None:
        app = web.Application()
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.origin = f"http://{host}:{port}"

    async def __aexit__(self, *_: Any) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
