"""Openverse on loopback, with the manners of the real one: page sizes, depth, throttles, errors, untidy results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.engine.sources.serving import Answer, Served, as_response

LICENCES = {"by", "by-nc", "by-nc-nd", "by-nc-sa", "by-nd", "by-sa", "cc0", "pdm", "sampling+", "nc-sampling+"}
_ACCOUNT_LIMITS = {
    "oauth2_client_credentials_burst": (100, "min"),
    "oauth2_client_credentials_sustained": (10_000, "day"),
}


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
    broken, broken_tokens: answers to give first, each a (status, headers, body), before behaving again.
    clients: secrets by client_id; a token lasts `expires_in` seconds, or until `tokens` no longer holds it.
    """

    def __init__(
        self, results: list[dict[str, Any]], *, burst: int = 20, daily: int = 200, expires_in: Any = 43_200
    ) -> None:
        super().__init__()
        self.results = results
        self.clients = {"gleaner": "s3cret"}
        self.expires_in = expires_in
        self.tokens: set[str] = set()
        self.token_forms: list[dict[str, Any]] = []
        self.broken_tokens: list[Answer] = []
        self.limits = {"anon_burst": (burst, "min"), "anon_sustained": (daily, "day")}
        self.left = {scope: limit for scope, (limit, _) in self.limits.items()}
        self.asked: list[Mapping[str, str]] = []
        self.authorized: list[str] = []
        self.throttled = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/images/", self._images), web.post("/v1/auth_tokens/token/", self._token)]

    @property
    def url(self) -> str:
        return f"{self.origin}/v1/"

    def a_minute_passes(self) -> None:
        self.left["anon_burst"] = self.limits["anon_burst"][0]

    def _headers(self, scopes: str = "anon") -> dict[str, str]:
        limits = self.limits if scopes == "anon" else _ACCOUNT_LIMITS
        left = self.left if scopes == "anon" else {scope: limit - 1 for scope, (limit, _) in limits.items()}
        said = {f"X-RateLimit-Limit-{scope}": f"{n}/{per}" for scope, (n, per) in limits.items()}
        return said | {f"X-RateLimit-Available-{scope}": str(left[scope]) for scope in limits}

    async def _token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        self.token_forms.append(form)
        if self.broken_tokens:
            return as_response(self.broken_tokens.pop(0))
        if form.get("grant_type") != "client_credentials":
            return _json({"error": "unsupported_grant_type"}, 400, {})
        if self.clients.get(str(form.get("client_id"))) != form.get("client_secret"):
            return _json({"error": "invalid_client"}, 401, {})
        token = f"token-{len(self.token_forms)}"
        self.tokens.add(token)
        answer = {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer", "scope": "read write"}
        return _json(answer, 200, {})

    async def _images(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        if self.broken:
            return as_response(self.broken.pop(0))
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return self._throttled() or self._page(request.query, 20, self._headers())
        self.authorized.append(authorization)
        if authorization.removeprefix("Bearer ") not in self.tokens:
            refused = {"WWW-Authenticate": 'Bearer realm="api",error="invalid_token"'}
            return _json({"detail": "Invalid token."}, 401, refused)
        return self._page(request.query, 50, self._headers("account"))

    def _throttled(self) -> web.Response | None:
        for scope, left in self.left.items():
            if left <= 0:
                self.throttled += 1
                wait = {"anon_burst": 41, "anon_sustained": 40_000}[scope]
                detail = f"Request was throttled. Expected available in {wait} seconds."
                return _json({"detail": detail}, 429, self._headers() | {"Retry-After": str(wait)})
        for scope in self.left:
            self.left[scope] -= 1
        return None

    def _page(self, query: Mapping[str, str], most: int, headers: dict[str, str]) -> web.Response:
        number, size = int(query.get("page", "1")), int(query.get("page_size", "20"))
        if size > most:
            return _json({"detail": f"page_size may not exceed {most} for this requester"}, 401, headers)
        if number * size > 240:
            return _invalid("page", f"Pagination depth is limited to 240 results, not {number * size}", headers)
        unknown = set(filter(None, query.get("license", "").split(","))) - LICENCES
        if unknown:
            return _invalid("license", f"License '{unknown.pop()}' does not exist.", headers)
        if len(query.get("q", "")) > 200:
            return _invalid("q", "Longer than 200 characters.", headers)
        reachable = min(len(self.results), 240)
        answer = {
            "result_count": reachable,
            "page_count": min(-(-reachable // size), 240 // size),
            "page_size": size,
            "page": number,
            "results": self.results[(number - 1) * size : number * size],
        }
        return _json(answer, 200, headers)


def _invalid(field: str, problem: str, headers: dict[str, str]) -> web.Response:
    detail = f"Invalid input given for fields. '{field}' -> {problem}"
    return _json({"error": "InputError", "detail": detail, "fields": [field]}, 400, headers)


def _json(answer: Any, status: int, headers: dict[str, str]) -> web.Response:
    body = json.dumps(answer).encode()
    return web.Response(status=status, headers=headers, body=body, content_type="application/json")
