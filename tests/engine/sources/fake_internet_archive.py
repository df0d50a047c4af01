"""The Internet Archive on loopback: a search with a cursor, items with files of all sorts, and some that it hides."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from aiohttp import web

from tests.engine.sources.serving import Answer, Served, as_response

BY_SA = "https://creativecommons.org/licenses/by-sa/4.0/"


def file(name: str, **changes: Any) -> dict[str, Any]:
    """A file of an item, as the service describes it: all values are text."""
    return {
        "name": name,
        "source": "original",
        "mtime": "1588000000",
        "size": "54321",
        "md5": "0123456789abcdef0123456789abcdef",
        "crc32": "01234567",
        "sha1": "0123456789abcdef0123456789abcdef01234567",
        "format": "JPEG",
    } | changes


def item(identifier: str, *files: Any, **changes: Any) -> dict[str, Any]:
    """An item with its files (one picture unless given); `changes` go into its metadata."""
    metadata = {
        "identifier": identifier,
        "mediatype": "image",
        "collection": ["opensource_image", "community"],
        "title": f"Picture of {identifier}",
        "creator": "Ada Example",
        "date": "2019-05-04",
        "description": "<div>A <b>cat</b> &amp; a mat</div>",
        "subject": ["cats", "mats"],
        "licenseurl": BY_SA,
        "publicdate": "2019-05-05 08:00:00",
    } | changes
    return {
        "created": 1588000000,
        "d1": "ia800000.us.archive.org",
        "dir": f"/1/items/{identifier}",
        "files": list(files) or [file(f"{identifier}.jpg")],
        "files_count": len(files) or 1,
        "metadata": metadata,
        "server": "ia800000.us.archive.org",
    }


def queried(query: str) -> tuple[str, set[str]]:
    """The words of a query with their escapes undone, and the parts of licence addresses that it keeps to."""
    match = re.fullmatch(r"mediatype:image AND \((.*?)\)(?: AND licenseurl:\((.*)\))?", query)
    if match is None or re.search(r'(?<!\\)[()\[\]{}"/:^~*?!]', match[1]) or re.search(r"\b(?:AND|OR|NOT)\b", match[1]):
        raise ValueError(f"Unable to parse query: {query}")
    words, licences = re.sub(r"\\(.)", r"\1", match[1]), re.sub(r"\\(.)", r"\1", match[2] or "")
    return words, {part.strip("*") for part in licences.split(" OR ") if part}


class FakeInternetArchive(Served):
    """Finds those of `items` whose licence a query keeps to, and shows the metadata of each.

    broken, broken_items: answers to give first to searches, and always to items of this identifier, each a
    (status, headers, body).
    """

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__()
        self.items = items
        self.broken_items: dict[str, Answer] = {}
        self.asked: list[dict[str, str]] = []
        self.shown: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/services/search/v1/scrape", self._scrape), web.get("/metadata/{identifier}", self._metadata)]

    @property
    def url(self) -> str:
        return self.origin

    async def _scrape(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append(query)
        if self.broken:
            return as_response(self.broken.pop(0))
        count = int(query.get("count", "5000"))
        if count < 100:
            return _refusal("RangeException", "[count] must be between 100 and 10000")
        try:
            _, licences = queried(query["q"])
            begin = json.loads(base64.b64decode(query["cursor"]))["after"] if "cursor" in query else 0
        except ValueError as error:
            return _refusal("IllegalArgumentException", str(error))
        found = [item for item in self.items if not licences or any(part in _licence(item) for part in licences)]
        batch = found[begin : begin + count]
        answer: dict[str, Any] = {"items": list(map(_hit, batch)), "total": len(found), "count": len(batch)}
        if begin + count < len(found):
            answer["cursor"] = base64.b64encode(json.dumps({"after": begin + count}).encode()).decode()
        return web.json_response(answer)

    async def _metadata(self, request: web.Request) -> web.Response:
        identifier = request.match_info["identifier"]
        self.shown.append(identifier)
        if identifier in self.broken_items:
            return as_response(self.broken_items[identifier])
        known = (item for item in self.items if item["metadata"]["identifier"] == identifier)
        return web.json_response(next(known, {}))


def _licence(item: dict[str, Any]) -> str:
    return str(item["metadata"].get("licenseurl"))


def _hit(item: Any) -> Any:
    return {"identifier": item["metadata"]["identifier"]}


def _refusal(kind: str, problem: str) -> web.Response:
    return web.json_response({"error": problem, "errorType": kind}, status=400)
