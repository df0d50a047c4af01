"""The MediaWiki API of Commons on loopback: batches handed out in parts, HTML in fields, errors with status 200."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.engine.sources.serving import Served, as_response

ARTIST = '<a href="//commons.wikimedia.org/wiki/User:Ada" title="User:Ada">Ada&nbsp;<b>Lovelace</b></a>'
IIPROP = "url|size|mime|mediatype|sha1|user|timestamp|extmetadata"


def file(number: int, extmetadata: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A page with its imageinfo as the service knows it; `changes` go into imageinfo."""
    fields = {
        "ObjectName": f"Cat {number}",
        "LicenseShortName": "CC BY-SA 4.0",
        "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0",
        "UsageTerms": "Creative Commons Attribution-Share Alike 4.0",
        "Artist": ARTIST,
        "Credit": '<span class="int-own-work" lang="en">Own work</span>',
        "AttributionRequired": "true",
        "ImageDescription": "<div><p>A &quot;cat&quot;</p>on<br>a <i>mat</i><script>evil()</script></div>",
        "DateTimeOriginal": "2019-05-04 12:00:00",
        "Categories": "Cats|Cats on mats|Self-published work",
    }
    fields = fields if extmetadata is None else extmetadata
    info = {
        "timestamp": "2019-05-05T08:00:00Z",
        "user": "Uploader",
        "size": 54321,
        "width": 4000,
        "height": 3000,
        "url": f"https://upload.wikimedia.org/wikipedia/commons/a/ab/Cat_{number}.jpg",
        "descriptionurl": f"https://commons.wikimedia.org/wiki/File:Cat_{number}.jpg",
        "descriptionshorturl": f"https://commons.wikimedia.org/w/index.php?curid={number}",
        "sha1": f"{number:040x}",
        "mime": "image/jpeg",
        "mediatype": "BITMAP",
        "extmetadata": {key: {"value": value, "source": "commons-desc-page"} for key, value in fields.items()},
    } | changes
    return {"pageid": number, "ns": 6, "title": f"File:Cat {number}.jpg", "imageinfo": [info]}


class FakeWikimedia(Served):
    """Serves `files` to any search.

    part: how many files of a batch get their imageinfo in one answer; the rest follow in partial answers.
    broken: answers to give first, each a (status, headers, body), before behaving again.
    """

    def __init__(self, files: list[dict[str, Any]], *, part: int = 50) -> None:
        super().__init__()
        self.files = files
        self.part = part
        self.asked: list[dict[str, str]] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/w/api.php", self._api)]

    @property
    def url(self) -> str:
        return f"{self.origin}/w/api.php"

    async def _api(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append(query)
        if self.broken:
            return as_response(self.broken.pop(0))
        return web.json_response(self._answer(query))

    def _answer(self, query: dict[str, str]) -> dict[str, Any]:
        wanted = {"action": "query", "format": "json", "formatversion": "2", "generator": "search", "gsrnamespace": "6"}
        wrong = {key for key, value in wanted.items() if query.get(key) != value}
        if wrong or query.get("iiprop") != IIPROP or not query.get("gsrsearch", "").endswith(" filetype:bitmap"):
            return {"error": {"code": "badvalue", "info": f"Unrecognized value for {wrong}."}}
        offset, limit = int(query.get("gsroffset", "0")), int(query["gsrlimit"])
        if offset >= 10_000:
            return {"error": {"code": "cirrussearch-offset-too-large", "info": "Up to 10000 results are supported."}}
        batch = self.files[offset : offset + limit]
        first = int(query.get("iistart", "0"))
        pages = [
            (file if first <= place < first + self.part else _bare(file)) | {"index": offset + place + 1}
            for place, file in enumerate(batch)
        ]
        answer: dict[str, Any] = {"query": {"pages": sorted(pages, key=lambda page: page.get("pageid", 0))}}
        if first + self.part < len(batch):
            going_on = {"iistart": str(first + self.part), "continue": "||", "gsroffset": offset}
            return answer | {"continue": {key: value for key, value in going_on.items() if value or key != "gsroffset"}}
        answer["batchcomplete"] = True
        if offset + limit < len(self.files):
            answer["continue"] = {"gsroffset": offset + limit, "continue": "gsroffset||"}
        return answer if batch else {"batchcomplete": True}


def _bare(page: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in page.items() if key != "imageinfo"}


def api_error(code: str, info: str) -> tuple[int, dict[str, str], bytes]:
    """An error as the API gives it: with status 200."""
    return 200, {"MediaWiki-API-Error": code}, json.dumps({"error": {"code": code, "info": info}}).encode()
