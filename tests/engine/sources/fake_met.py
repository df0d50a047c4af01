"""The Met on loopback: one search without pages, objects one by one, a guard that answers 403 to bursts."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.engine.sources.serving import Served, as_response

_CRD = "https://images.metmuseum.org/CRDImages/as/original"


def work(number: int, *more: Any, **changes: Any) -> dict[str, Any]:
    """An object as the service gives it; `more` are its additional images."""
    return {
        "objectID": number,
        "isHighlight": False,
        "accessionNumber": "36.100.45",
        "isPublicDomain": True,
        "primaryImage": f"{_CRD}/{number}.jpg",
        "primaryImageSmall": f"https://images.metmuseum.org/CRDImages/as/web-large/{number}.jpg",
        "additionalImages": list(more),
        "department": "Asian Art",
        "objectName": "Hanging scroll",
        "title": f"Quail <i>and</i> Millet {number}",
        "culture": "Japan",
        "period": "Edo period (1615\u20131868)",
        "dynasty": "",
        "artistDisplayName": "Kiyohara Yukinobu",
        "artistWikidata_URL": "https://www.wikidata.org/wiki/Q11560527",
        "artistULAN_URL": "http://vocab.getty.edu/page/ulan/500034433",
        "objectDate": "late 17th century",
        "medium": "Hanging scroll; ink and color on silk",
        "creditLine": "The Howard Mansfield Collection, Purchase, Rogers Fund, 1936",
        "objectURL": f"https://www.metmuseum.org/art/collection/search/{number}",
        "tags": [{"term": "Birds", "AAT_URL": "http://vocab.getty.edu/page/aat/300266506"}],
    } | changes


class FakeMet(Served):
    """Finds the ids of `works`, in their order, for any keyword. Works that are None are found, but answer 404.

    burst: requests until the guard answers 403 to all; an asker that waits calls `quiet`. broken: answers to give
    first, each a (status, headers, body), before behaving again.
    """

    def __init__(self, works: dict[int, Any], *, burst: int = 1_000_000) -> None:
        super().__init__()
        self.works = works
        self.found: Any = list(works) or None
        self.burst = self.left = burst
        self.asked: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        base = "/public/collection/v1"
        return [web.get(f"{base}/search", self._search), web.get(f"{base}/objects/{{number}}", self._object)]

    @property
    def url(self) -> str:
        return f"{self.origin}/public/collection/v1/"

    def quiet(self) -> None:
        self.left = self.burst

    def _refusal(self, request: web.Request) -> web.Response | None:
        self.asked.append(request.path_qs.removeprefix("/public/collection/v1"))
        if self.broken:
            return as_response(self.broken.pop(0))
        self.left -= 1
        if self.left < 0:
            page = "<html><body>Request unsuccessful. Incident ID: 1</body></html>"
            return web.Response(status=403, text=page, content_type="text/html")
        return None

    async def _search(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if not request.query.get("q") or request.query.get("hasImages") != "true":
            return web.json_response({"message": "Bad request"}, status=400)
        return web.json_response({"total": len(self.found or []), "objectIDs": self.found})

    async def _object(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        item = self.works.get(int(request.match_info["number"]))
        if item is None:
            return web.json_response({"message": "ObjectID not found"}, status=404)
        return web.json_response(item)
