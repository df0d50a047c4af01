"""A small website on loopback: files by path, with redirects, broken answers and whatever else a test wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from tests.engine.sources.serving import Served


@dataclass(frozen=True)
class File:
    """An answer. HTML with status 200 unless it says something else."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])


def html(body: str, charset: str = "utf-8") -> File:
    return File(body.encode(charset), headers={"Content-Type": f"text/html; charset={charset}"})


def xml(body: str | bytes) -> File:
    return File(body.encode() if isinstance(body, str) else body, headers={"Content-Type": "application/xml"})


def moved(location: str) -> File:
    return File(status=302, headers={"Location": location})


class FakeSite(Served):
    """Serves `files` by path and query; everything else is a 404. `asked` are the paths in order."""

    def __init__(self, files: dict[str, File]) -> None:
        super().__init__()
        self.files = files
        self.asked: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/{path:.*}", self._answer)]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    @property
    def elsewhere(self) -> str:
        """The same server by another name: another site."""
        return self.origin.replace("127.0.0.1", "localhost")

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        file = self.files.get(request.path_qs, File(status=404))
        return web.Response(status=file.status, headers=file.headers, body=file.body)
