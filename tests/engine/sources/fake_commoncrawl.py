"""The index server of Common Crawl on loopback: a list of crawls, pages of captures as lines, filters, impatience."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from aiohttp import web

from tests.engine.sources.serving import Served

NEWEST, OLDER = "CC-MAIN-2025-43", "CC-MAIN-2025-38"


def capture(url: str, digest: str, **changes: Any) -> dict[str, Any]:
    """A capture as the index describes it: all values are text."""
    return {
        "urlkey": url.partition("://")[2].lower(),
        "timestamp": "20251012093000",
        "url": url,
        "mime": "image/jpeg",
        "mime-detected": "image/jpeg",
        "status": "200",
        "digest": digest,
        "length": "54321",
        "offset": "123456789",
        "filename": "crawl-data/CC-MAIN-2025-43/segments/1/warc/CC-MAIN-1.warc.gz",
    } | changes


class FakeCommonCrawl(Served):
    """Serves the lines of each crawl, `size` lines a page before they are filtered, whatever the site is.

    A line is a capture, or bytes as they are. broken: answers to give first, each a (status, headers, body).
    collections: what the list of crawls says instead.
    """

    def __init__(self, crawls: dict[str, list[dict[str, Any] | bytes]], *, size: int = 5) -> None:
        super().__init__()
        self.crawls = crawls
        self.size = size
        self.collections: Any = None
        self.listed = 0
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.at_once = self.most_at_once = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/collinfo.json", self._collinfo), web.get("/{crawl}-index", self._index)]

    @property
    def url(self) -> str:
        return self.origin

    @property
    def read(self) -> list[tuple[str, int]]:
        """The pages that were asked for, with their crawls."""
        return [(crawl, int(query["page"][0])) for crawl, query in self.asked if "page" in query]

    async def _collinfo(self, _: web.Request) -> web.Response:
        self.listed += 1
        if self.collections is not None:
            return web.json_response(self.collections)
        return web.json_response(
            [
                {
                    "id": name,
                    "name": f"{name} Index",
                    "timegate": f"{self.url}/{name}/",
                    "cdx-api": f"{self.url}/{name}-index",
                }
                for name in self.crawls
            ]
        )

    async def _index(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.001)
            return self._answer(request)
        finally:
            self.at_once -= 1

    def _answer(self, request: web.Request) -> web.Response:
        crawl = request.match_info["crawl"]
        query = {name: request.query.getall(name) for name in request.query}
        self.asked.append((crawl, query))
        if self.broken:
            status, headers, body = self.broken.pop(0)
            return web.Response(status=status, headers=headers, body=body)
        if query.get("output") != ["json"] or "url" not in query:
            return _refusal(400, "The output must be json here, and a url be given.")
        lines = self.crawls[crawl]
        pages = -(-len(lines) // self.size)
        if query.get("showNumPages") == ["true"]:
            return web.json_response({"pages": pages, "pageSize": 5, "blocks": pages * 5})
        number = int(query["page"][0])
        if lines and number >= pages:
            return _refusal(400, f"Page {number} invalid: First Page is 0, Last Page is {pages - 1}")
        batch = lines[number * self.size : (number + 1) * self.size]
        found = [line for line in batch if isinstance(line, bytes) or _passes(line, query.get("filter", []))]
        if not found:
            return _refusal(404, f"No Captures found for: {query['url'][0]}")
        body = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in found)
        return web.Response(body=body, content_type="text/x-ndjson")


def _passes(line: dict[str, Any], filters: list[str]) -> bool:
    return all(_matches(line, one) for one in filters)


def _matches(line: dict[str, Any], condition: str) -> bool:
    """`=field:value` is that value, `~field:pattern` a pattern that matches, `field:part` a part of the value."""
    kind = condition[0] if condition[0] in "=~" else ""
    field, _, wanted = condition.removeprefix(kind).partition(":")
    value = str(line.get(field, ""))
    return {"=": value == wanted, "~": re.match(wanted, value) is not None, "": wanted in value}[kind]


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)
