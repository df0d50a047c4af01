"""What fakes of services with a key have in common."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.engine.sources.serving import Served, as_response

KEY = "s3cret+key/0123=="
"""Has characters that a query string must escape."""


class FakeKeyed(Served):
    """Answers each request by `answer`.

    broken: answers to give first, each a (status, headers, body), before behaving again.
    asked: the parameters of every request without the key.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"{self.origin}/api"

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api", self._api)]

    def key_of(self, request: web.Request) -> str | None:
        raise NotImplementedError

    def answer(self, query: dict[str, str]) -> web.Response:
        raise NotImplementedError

    def wrong_key(self) -> web.Response:
        raise NotImplementedError

    async def _api(self, request: web.Request) -> web.Response:
        self.asked.append({name: value for name, value in request.query.items() if value != KEY})
        if self.broken:
            return as_response(self.broken.pop(0))
        return self.answer(dict(request.query)) if self.key_of(request) == KEY else self.wrong_key()


def plain(text: str, status: int, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, headers=headers, text=text)


def json_answer(answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, headers=headers, text=json.dumps(answer), content_type="application/json")
