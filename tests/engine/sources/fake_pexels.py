"""The search of Pexels on loopback: a key in a header, pages that name the next one, headers in Unix time."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from tests.engine.sources.fake_keyed import FakeKeyed, json_answer


def photo(number: int, **changes: Any) -> dict[str, Any]:
    """A photo as the service gives it."""
    original = f"https://images.pexels.com/photos/{number}/pexels-photo-{number}.jpeg"
    return {
        "id": number,
        "width": 4000,
        "height": 6000,
        "url": f"https://www.pexels.com/photo/cat-{number}/",
        "photographer": "Ada Example",
        "photographer_url": "https://www.pexels.com/@ada",
        "photographer_id": 77,
        "avg_color": "#7E7F7B",
        "src": {
            "original": original,
            "large2x": f"{original}?auto=compress&cs=tinysrgb&dpr=2&h=650&w=940",
            "large": f"{original}?auto=compress&cs=tinysrgb&h=650&w=940",
        },
        "liked": False,
        "alt": f"A cat, number {number}",
    } | changes


class FakePexels(FakeKeyed):
    """Serves `photos` to any search. `monthly`: requests left this month; `reset`: seconds until it is over."""

    def __init__(self, photos: list[Any], *, monthly: int = 20_000, reset: int = 86400) -> None:
        super().__init__()
        self.photos = photos
        self.monthly = monthly
        self.reset = reset

    def key_of(self, request: web.Request) -> str | None:
        return request.headers.get("Authorization")

    def wrong_key(self) -> web.Response:
        return json_answer({"status": 401, "code": "Unauthorized", "error": "Invalid API key"}, 401)

    def answer(self, query: dict[str, str]) -> web.Response:
        if self.monthly <= 0:
            return json_answer({"status": 429, "code": "Too Many Requests"}, 429)
        self.monthly -= 1
        number, size = int(query["page"]), int(query["per_page"])
        if size > 80 or not query.get("query"):
            return json_answer({"status": 400, "code": "Bad Request"}, 400)
        answer = {
            "page": number,
            "per_page": size,
            "photos": self.photos[(number - 1) * size : number * size],
            "total_results": len(self.photos),
        }
        if number * size < len(self.photos):
            answer["next_page"] = f"{self.url}?page={number + 1}&per_page={size}&query={query['query']}"
        headers = {
            "X-Ratelimit-Limit": "20000",
            "X-Ratelimit-Remaining": str(self.monthly),
            "X-Ratelimit-Reset": str(int(time.time()) + self.reset),
        }
        return json_answer(answer, 200, headers)
