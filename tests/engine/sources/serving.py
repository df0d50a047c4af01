"""A web application on a loopback port."""

from __future__ import annotations

from typing import Any, Self

from aiohttp import web

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


class Served:
    """A fake service; use as an async context manager. `broken`: answers to give first, before it behaves."""

    def __init__(self) -> None:
        self.broken: list[Answer] = []
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

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: Any) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


def as_response(answer: Answer) -> web.Response:
    status, headers, body = answer
    return web.Response(status=status, headers=headers, body=body, content_type="application/json")
