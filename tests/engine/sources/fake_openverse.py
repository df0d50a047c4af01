"""Openverse on loopback, with the manners of the real one: page sizes, depth, throttles, errors, untidy results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from aiohttp import web

from tests.engine.sources.serving import Served

LICENCES = {"by", "by-nc", "by-nc-nd", "by-nc-sa", "by-nd", "by-sa", "cc0", "pdm", "sampling+", "nc-sampling+"}


def picture(number: int, **changes: Any) -> dict[str, Any]:
    """A result as the service gives it."""
    key = f"00000000-0000-4000-8000-{number:012d}"
    return {
        "id": key,
        "title": f"Picture {number}",
        "indexed_on": "2024-03-01T10:00:00.000000Z",
        "foreign_landing_url": f"https://photos.example/view/{number}",
        "url": f"https://media.example/{number}.jpg",
        "creator": "Ada Example",
        "creator_url": "https://photos.example/people/ada",
        "license": "by-sa",
        "license_version": "4.0",
        "license_url": "https://creativecommons.org/licenses/by-sa/4.0/",
        "provider": "flickr",
        "source": "flickr",
        "category": "photograph",
        "filesize": 12345,
        "filetype": "jpg",
        "tags": [
            {"name": "cat", "accuracy": None, "unstable__provider": "flickr"},
            {"name": "animal", "accuracy": 0.98, "unstable__provider": "rekognition"},
        ],
        "attribution": f'"Picture {number}" by Ada Example is licensed under CC BY-SA 4.0.',
        "fields_matched": ["title"],
        "mature": False,
        "height": 768,
        "width": 1024,
        "thumbnail": f"https://api.openverse.org/v1/images/{key}/thumb/",
        "detail_url": f"https://api.openverse.org/v1/images/{key}/",
        "related_url": f"https://api.openverse.org/v1/images/{key}/related/",
    } | changes


class FakeOpenverse(Served):
    """Serves `results` to any query.

    burst, daily: requests left in the two anonymous throttles; an asker that waits calls `a_minute_passes`.
    broken: answers to give first, each a (status, headers, body), before behaving again.
    """

    def __init__(self, results: list[dict[str, Any]], *, burst: int = 20, daily: int = 200) -> None:
        super().__init__()
        self.results = results
        self.limits = {"anon_burst": (burst, "min"), "anon_sustained": (daily, "day")}
        self.left = {scope: limit for scope, (limit, _) in self.limits.items()}
        self.broken: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[Mapping[str, str]] = []
        self.throttled = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/images/", self._images)]

    @property
    def url(self) -> str:
        return f"{self.origin}/v1/"

    def a_minute_passes(self) -> None:
        self.left["anon_burst"] = self.limits["anon_burst"][0]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    def _headers(self) -> dict[str, str]:
        limits = {f"X-RateLimit-Limit-{scope}": f"{n}/{per}" for scope, (n, per) in self.limits.items()}
        return limits | {f"X-RateLimit-Available-{scope}": str(left) for scope, left in self.left.items()}

    async def _images(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        if self.broken:
            status, headers, body = self.broken.pop(0)
            return web.Response(status=status, headers=headers, body=body, content_type="application/json")
        for scope, left in self.left.items():
            if left <= 0:
                self.throttled += 1
                wait = {"anon_burst": 41, "anon_sustained": 40_000}[scope]
                detail = f"Request was throttled. Expected available in {wait} seconds."
                return _json({"detail": detail}, 429, self._headers() | {"Retry-After": str(wait)})
        for scope in self.left:
            self.left[scope] -= 1
        return self._page(request.query)

    def _page(self, query: Mapping[str, str]) -> web.Response:
        number, size = int(query.get("page", "1")), int(query.get("page_size", "20"))
        if size > 20:
            return _json({"detail": "page_size may not exceed 20 for anonymous requests"}, 401, self._headers())
        if number * size > 240:
            return _invalid("page", f"Pagination depth is limited to 240 results, not {number * size}", self._headers())
        unknown = set(filter(None, query.get("license", "").split(","))) - LICENCES
        if unknown:
            return _invalid("license", f"License '{unknown.pop()}' does not exist.", self._headers())
        if len(query.get("q", "")) > 200:
            return _invalid("q", "Longer than 200 characters.", self._headers())
        page = self.results[(number - 1) * size : number * size]
        answer = {
            "result_count": min(len(self.results), 240),
            "page_count": min(-(-len(self.results) // size), 12),
            "page_size": size,
            "page": number,
            "results": page,
        }
        return _json(answer, 200, self._headers())


def _invalid(field: str, problem: str, headers: dict[str, str]) -> web.Response:
    detail = f"Invalid input given for fields. '{field}' -> {problem}"
    return _json({"error": "InputError", "detail": detail, "fields": [field]}, 400, headers)


def _json(answer: Any, status: int, headers: dict[str, str]) -> web.Response:
    body = json.dumps(answer).encode()
    return web.Response(status=status, headers=headers, body=body, content_type="application/json")
