"""iNaturalist on loopback: pages by id in either order, licence filters on observations, limits and its own errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.engine.sources.serving import Served, as_response

LICENCES = {"cc0", "cc-by", "cc-by-nc", "cc-by-nd", "cc-by-sa", "cc-by-nc-nd", "cc-by-nc-sa"}
GRADES = {"casual", "needs_id", "research"}


def photo(number: int, licence: str | None = "cc-by-nc", **changes: Any) -> dict[str, Any]:
    rights = f"some rights reserved ({licence.upper()})" if licence else "all rights reserved"
    return {
        "id": number,
        "license_code": licence,
        "url": f"https://inaturalist-open-data.s3.amazonaws.com/photos/{number}/square.jpg",
        "attribution": f"(c) Ada Example, {rights}",
        "original_dimensions": {"width": 2048, "height": 1365},
        "flags": [],
    } | changes


def observation(number: int, *photos: Any, **changes: Any) -> dict[str, Any]:
    """A result as the service gives it, with one photo of number `10 * number` unless told."""
    return {
        "id": number,
        "uri": f"https://www.inaturalist.org/observations/{number}",
        "license_code": "cc0",  # that of the notes, which is not that of the photos
        "quality_grade": "research",
        "observed_on": "2023-05-04",
        "user": {"id": 77, "login": "ada_example", "name": "Ada Example"},
        "taxon": {
            "id": 13094,
            "name": "Erithacus rubecula",
            "rank": "species",
            "preferred_common_name": "European Robin",
            "iconic_taxon_name": "Aves",
        },
        "photos": list(photos) or [photo(10 * number)],
    } | changes


class FakeINaturalist(Served):
    """Serves `observations` to any taxon, those with a photo of the licences asked for.

    broken: answers to give first, each a (status, headers, body), before behaving again. With `short`, a page has no
    more than that many results, though it says how many there are.
    """

    def __init__(self, observations: list[dict[str, Any]], *, short: int = 200) -> None:
        super().__init__()
        self.observations = observations
        self.short = short
        self.asked: list[Mapping[str, str]] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/observations", self._observations)]

    @property
    def url(self) -> str:
        return f"{self.origin}/v1/"

    async def _observations(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append(query)
        if self.broken:
            return as_response(self.broken.pop(0))
        licences = set(query["photo_license"].split(",")) if "photo_license" in query else None
        if licences is not None and not licences <= LICENCES:
            return _invalid("photo_license")
        if query.get("quality_grade", "research") not in GRADES:
            return _invalid("quality_grade")
        if not query.get("taxon_name") and not query.get("taxon_id"):
            return _invalid("taxon_name")
        return web.json_response(self._page(query, licences))

    def _page(self, query: Mapping[str, str], licences: set[str] | None) -> dict[str, Any]:
        size = min(int(query.get("per_page", "30")), 200)
        below, above = float(query.get("id_below", "inf")), float(query.get("id_above", "-inf"))
        found = [item for item in self.observations if _matches(item, below, above, licences)]
        if query.get("order_by") == "id":
            found.sort(key=lambda item: item["id"], reverse=query.get("order", "desc") == "desc")
        results = found[: min(size, self.short)]
        return {"total_results": len(found), "page": 1, "per_page": size, "results": results}


def _matches(item: Mapping[str, Any], below: float, above: float, licences: set[str] | None) -> bool:
    is_licensed = licences is None or any(photo["license_code"] in licences for photo in item["photos"])
    return is_licensed and above < item["id"] < below


def _invalid(name: str) -> web.Response:
    return web.json_response({"error": f"Invalid {name}", "status": 422}, status=422)
