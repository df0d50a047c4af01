"""The search of Pixabay on loopback: bounded hits, a throttle with headers, errors in plain text."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.engine.sources.fake_keyed import FakeKeyed, json_answer, plain


def hit(number: int, **changes: Any) -> dict[str, Any]:
    """A hit as the service gives it to an ordinary key."""
    return {
        "id": number,
        "pageURL": f"https://pixabay.com/photos/cat-mat-{number}/",
        "type": "photo",
        "tags": "cat, mat, sleeping cat",
        "previewURL": f"https://cdn.pixabay.com/photo/{number}_150.jpg",
        "webformatURL": f"https://pixabay.com/get/{number}_640.jpg",
        "webformatWidth": 640,
        "webformatHeight": 427,
        "largeImageURL": f"https://pixabay.com/get/{number}_1280.jpg",
        "imageWidth": 6000,
        "imageHeight": 4000,
        "imageSize": 7_654_321,
        "user": "Ada Example",
        "user_id": 4321,
    } | changes


class FakePixabay(FakeKeyed):
    """Serves `hits` to any search, 500 of them at most.

    burst: requests left in the throttle; an asker that waits calls `a_minute_passes`.
    """

    def __init__(self, hits: list[Any], *, burst: int = 100) -> None:
        super().__init__()
        self.hits = hits
        self.burst = self.left = burst
        self.throttled = 0

    def key_of(self, request: web.Request) -> str | None:
        return request.query.get("key")

    def wrong_key(self) -> web.Response:
        return plain("[ERROR 400] Invalid or missing API key (https://pixabay.com/api/docs/).", 400)

    def a_minute_passes(self) -> None:
        self.left = self.burst

    def answer(self, query: dict[str, str]) -> web.Response:
        if self.left <= 0:
            self.throttled += 1
            return plain("[ERROR 429] API rate limit exceeded.", 429, self._headers())
        self.left -= 1
        number, size = int(query["page"]), int(query["per_page"])
        if len(query["q"]) > 100:
            return plain('[ERROR 400] "q" is out of valid range.', 400, self._headers())
        if not 3 <= size <= 200:
            return plain('[ERROR 400] "per_page" is out of valid range.', 400, self._headers())
        shown = self.hits[:500]
        if number > max(1, -(-len(shown) // size)):
            return plain('[ERROR 400] "page" is out of valid range.', 400, self._headers())
        page = shown[(number - 1) * size : number * size]
        return json_answer({"total": len(self.hits), "totalHits": len(shown), "hits": page}, 200, self._headers())

    def _headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.burst),
            "X-RateLimit-Remaining": str(self.left),
            "X-RateLimit-Reset": "37",
        }
