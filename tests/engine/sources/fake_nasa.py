"""NASA's library on loopback: a search that ends at its depth with 400, and a manifest for each picture."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.engine.sources.serving import Served, as_response

_ASSETS = "https://images-assets.nasa.gov/image"
SIZES = ("orig", "large", "medium", "small", "thumb")


def picture(number: int, *, sizes: tuple[str, ...] = SIZES, links: Any = None, **changes: Any) -> dict[str, Any]:
    """An item as the search gives it, with links to these sizes; `changes` go into its data.

    Newer items link all sizes, older ones the thumbnail only.
    """
    key = f"PIA{number:05d}"
    data = {
        "nasa_id": key,
        "title": f"Storm {number}",
        "description": "A storm on Saturn.",
        "keywords": ["Saturn", "Cassini-Huygens"],
        "center": "JPL",
        "date_created": "2013-04-29T22:32:47Z",
        "media_type": "image",
        "secondary_creator": "NASA/JPL-Caltech/SSI",
    } | changes
    linked = [_link(key, size) for size in sizes] if links is None else links
    return {"href": f"{_ASSETS}/{key}/collection.json", "data": [data], "links": linked}


def _link(key: str, size: str) -> dict[str, Any]:
    rel = {"orig": "canonical", "thumb": "preview"}.get(size, "alternate")
    pixels = {"orig": {"width": 2000, "height": 1500, "size": 654321}}.get(size, {})
    return {"href": f"{_ASSETS}/{key}/{key}~{size}.jpg", "rel": rel, "render": "image", **pixels}


def files(nasa_id: str, extension: str = "jpg") -> list[Any]:
    """What the manifest of a picture lists."""
    names = [f"{nasa_id}~{size}.{extension if size == 'orig' else 'jpg'}" for size in reversed(SIZES)]
    return [{"href": f"http://images-assets.nasa.gov/image/{nasa_id}/{name}"} for name in (*names, "metadata.json")]


class FakeNasa(Served):
    """Serves `items` to any query, `manifests` by id. Depth: pages before 400.

    broken: answers to give first, each a (status, headers, body), before behaving again.
    """

    def __init__(self, items: list[Any], manifests: dict[str, Any] | None = None, *, depth: int = 100) -> None:
        super().__init__()
        self.items = items
        self.manifests = manifests or {}
        self.depth = depth
        self.asked: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/search", self._search), web.get("/asset/{nasa_id}", self._asset)]

    @property
    def url(self) -> str:
        return self.origin

    async def _search(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        if self.broken:
            return as_response(self.broken.pop(0))
        query = request.query
        number, size = int(query.get("page", "1")), int(query.get("page_size", "100"))
        if not query.get("q") or query.get("media_type") != "image" or size > 100:
            return _refused(400, 'Expected "q" text search parameter or other keywords.')
        if number > self.depth:
            return _refused(400, "Maximum number of search results have been displayed. Please refine your search.")
        ahead = [{"rel": "next", "prompt": "Next", "href": f"{self.origin}/search?page={number + 1}"}]
        collection: dict[str, Any] = {
            "version": "1.1",
            "href": str(request.url),
            "items": self.items[(number - 1) * size : number * size],
            "metadata": {"total_hits": len(self.items)},
        }
        if number * size < len(self.items):
            collection["links"] = ahead
        return web.json_response({"collection": collection})

    async def _asset(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        nasa_id = request.match_info["nasa_id"]
        if nasa_id not in self.manifests:
            return _refused(404, f"No assets found for image={nasa_id}")
        answer = self.manifests[nasa_id]
        if isinstance(answer, int):
            return _refused(answer, "Broken")
        return web.json_response({"collection": {"version": "1.0", "href": str(request.url), "items": answer}})


def _refused(status: int, reason: str) -> web.Response:
    return web.json_response({"reason": reason}, status=status)
