"""Flickr's search on loopback: 4,000 results a query however many there are, upload bounds, errors with status 200."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from tests.engine.sources.fake_keyed import FakeKeyed, json_answer

NEWEST = 1_600_000_000
EXTRAS = {"license", "owner_name", "tags", "description", "date_upload", "date_taken"}


def photo(number: int, **changes: Any) -> dict[str, Any]:
    """A photo as the service gives it, uploaded `number` minutes before the newest."""
    base = f"https://live.staticflickr.com/65535/{number}_5ec4e7"
    return {
        "id": str(number),
        "owner": "12345678@N00",
        "secret": "5ec4e7",
        "server": "65535",
        "farm": 66,
        "title": f"Cat {number}",
        "ispublic": 1,
        "license": "4",
        "description": {"_content": "A <b>cat</b> &amp; a\nmat"},
        "dateupload": str(NEWEST - 60 * number),
        "datetaken": "2019-05-04 12:00:00",
        "ownername": "Ada Example",
        "tags": "cat mat sleeping",
        "url_o": f"{base}_o.jpg",
        "height_o": 3000,
        "width_o": 4000,
        "url_l": f"{base}_b.jpg",
        "height_l": 768,
        "width_l": 1024,
        "url_z": f"{base}_z.jpg",
        "height_z": 480,
        "width_z": 640,
    } | changes


class FakeFlickr(FakeKeyed):
    """Serves `photos`, newest first, to any search."""

    def __init__(self, photos: list[Any]) -> None:
        super().__init__()
        self.photos = photos

    def key_of(self, request: web.Request) -> str | None:
        return request.query.get("api_key")

    def wrong_key(self) -> web.Response:
        return failure(100, "Invalid API Key (Key has invalid format)")

    def answer(self, query: dict[str, str]) -> web.Response:
        if query.get("method") != "flickr.photos.search":
            return failure(112, f'Method "{query.get("method")}" not found')
        if not query.get("text"):
            return failure(3, "Parameterless searches have been disabled. Please use flickr.photos.getRecent instead.")
        missing = EXTRAS - set(query["extras"].split(","))
        if missing or (query["media"], query["sort"], query["nojsoncallback"]) != ("photos", "date-posted-desc", "1"):
            return failure(111, f'Format "{sorted(missing)}" not found')
        number, size = int(query["page"]), min(int(query["per_page"]), 500)
        found = [one for one in self.photos if _wanted(one, query)]
        first = (min(number, 4000 // size) - 1) * size  # behind 4,000 results it shows the last page again
        photos = {
            "page": number,
            "pages": -(-len(found) // size),
            "perpage": size,
            "total": len(found),
            "photo": found[first : first + size],
        }
        return json_answer({"photos": photos, "stat": "ok"})


def _wanted(one: Any, query: dict[str, str]) -> bool:
    if not isinstance(one, dict):
        return True
    until, licences = query.get("max_upload_date"), query.get("license")
    if until is not None and int(one["dateupload"]) > int(until):
        return False
    return licences is None or one["license"] in re.split(",", licences)


def failure(code: int, message: str) -> web.Response:
    """An error as the service gives it: with status 200."""
    return json_answer({"stat": "fail", "code": code, "message": message})
