"""The demo's search: `/v1/images/` as Openverse answers it to anonymous requests, with its limits and its errors."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from backend.demo.plan import API, Exhibit, extension

PAGE_SIZE = 20
DEPTH = 240
MAX_KEYWORD = 200
A_MINUTE, A_DAY = 200, 10_000

CODES = frozenset(["by", "by-nc", "by-nc-nd", "by-nc-sa", "by-nd", "by-sa", "cc0", "pdm", "sampling+", "nc-sampling+"])
KINDS: Mapping[str, frozenset[str]] = {
    "all": CODES,
    "all-cc": CODES - {"pdm", "cc0"},
    "commercial": frozenset(code for code in CODES if "nc" not in code),
    "modification": frozenset(code for code in CODES if "nd" not in code),
}
CHOICES: Mapping[str, frozenset[str]] = {
    "license": CODES,
    "license_type": frozenset(KINDS),
    "extension": frozenset({"jpg", "png", "gif", "svg", "webp"}),
    "category": frozenset({"photograph", "illustration", "digitized_artwork"}),
    "aspect_ratio": frozenset({"tall", "wide", "square"}),
    "size": frozenset({"small", "medium", "large"}),
    "filter_dead": frozenset({"true", "false", "1", "0"}),
    "mature": frozenset({"true", "false", "1", "0"}),
}


class BadParameterError(Exception):
    """The request says something that the API does not take; `fields` maps each culprit to a sentence."""

    def __init__(self, **fields: str) -> None:
        super().__init__(*fields.values())
        self.fields = fields


class OpenverseApi:
    """Search over exhibits. `url_of` turns a host name and a path into a URL."""

    def __init__(self, exhibits: Sequence[Exhibit], url_of: Callable[[str, str], str]) -> None:
        self._exhibits = {exhibit.id: exhibit for exhibit in exhibits}
        self._url_of = url_of
        self._asked: deque[float] = deque()

    def answer(self, path: str, query: Mapping[str, str]) -> web.Response:
        """The answer to a GET, with the throttle's headers; 429 when more was asked than it allows."""
        headers = self._throttle()
        if headers is None:
            wait = {"Retry-After": str(max(1, round(60 - (time.monotonic() - self._asked[0]))))}
            return web.json_response({"detail": "Request was throttled."}, status=429, headers=wait)
        status, body = self._routed(path, query)
        return web.json_response(body, status=status, headers=headers)

    def _throttle(self) -> dict[str, str] | None:
        now = time.monotonic()
        while self._asked and now - self._asked[0] >= 60:
            self._asked.popleft()
        if len(self._asked) >= A_MINUTE:
            return None
        self._asked.append(now)
        return {
            "X-RateLimit-Limit-anon_burst": f"{A_MINUTE}/min",
            "X-RateLimit-Available-anon_burst": str(A_MINUTE - len(self._asked)),
            "X-RateLimit-Limit-anon_sustained": f"{A_DAY}/day",
            "X-RateLimit-Available-anon_sustained": str(A_DAY - len(self._asked)),
        }

    def _routed(self, path: str, query: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        if path == "/v1/images/":
            return self._searched(query)
        id_, _, more = path.removeprefix("/v1/images/").partition("/")
        exhibit = self._exhibits.get(id_)
        if exhibit and more == "":
            return 200, self._item(exhibit, [])
        if exhibit and more == "related/":
            return self._searched({"q": exhibit.subject})
        return 404, {"detail": "Not found."}

    def _searched(self, query: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        try:
            page, page_size = _positive(query, "page", 1), _positive(query, "page_size", PAGE_SIZE)
            if page_size > PAGE_SIZE:
                return 401, {"detail": f"Ensure this value is less than or equal to {PAGE_SIZE}."}
            _check(query, page * page_size)
        except BadParameterError as error:
            return 400, {"error": "InputError", "detail": "Invalid input given for fields.", "fields": error.fields}
        found = [exhibit for exhibit in self._exhibits.values() if _matches(exhibit, query)]
        results = found[(page - 1) * page_size : page * page_size]
        matched = ["title", "tags.name"] if query.get("q") else []
        return 200, {
            "result_count": min(len(found), DEPTH),
            "page_count": min(-(-len(found) // page_size), DEPTH // page_size),
            "page_size": page_size,
            "page": page,
            "results": [self._item(exhibit, matched) for exhibit in results],
        }

    def _item(self, exhibit: Exhibit, matched: Sequence[str]) -> dict[str, Any]:
        width, height = exhibit.picture.size
        licence = exhibit.licence
        detail = self._url_of(API, f"/v1/images/{exhibit.id}/")
        person = exhibit.creator_path
        return {
            "id": exhibit.id,
            "title": exhibit.title,
            "indexed_on": "2025-03-14T09:26:53.589793Z",
            "foreign_landing_url": self._url_of(exhibit.host, exhibit.page_path),
            "url": self._url_of(exhibit.host, exhibit.path),
            "creator": exhibit.creator,
            "creator_url": self._url_of(exhibit.host, person) if person else None,
            "license": licence.code,
            "license_version": licence.version,
            "license_url": licence.url,
            "provider": _source(exhibit),
            "source": _source(exhibit),
            "category": "illustration",
            "filesize": None,
            "filetype": extension(exhibit.picture.format),
            "tags": [
                {"name": name, "accuracy": None, "unstable__provider": _source(exhibit)} for name in _tags(exhibit)
            ],
            "attribution": attribution(exhibit),
            "fields_matched": list(matched),
            "mature": False,
            "height": height,
            "width": width,
            "thumbnail": self._url_of(exhibit.host, exhibit.path),
            "detail_url": detail,
            "related_url": f"{detail}related/",
        }


def attribution(exhibit: Exhibit) -> str:
    """The credit line in Openverse's words."""
    licence = exhibit.licence
    name = {"cc0": "CC0", "pdm": "Public Domain Mark"}.get(licence.code, f"CC {licence.code.upper()}")
    public = licence.code in {"cc0", "pdm"}
    verb, text = ("marked with", "the terms") if public else ("licensed under", "a copy of this license")
    by = f" by {exhibit.creator}" if exhibit.creator else ""
    return f'"{exhibit.title}"{by} is {verb} {name} {licence.version}. To view {text}, visit {licence.url}.'


def _source(exhibit: Exhibit) -> str:
    return f"demo_{exhibit.host.split('.')[0]}"


def _tags(exhibit: Exhibit) -> tuple[str, ...]:
    return exhibit.subject, "drawing", "demo"


def _positive(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise BadParameterError(**{name: "A valid integer is required."})
    if int(text) < 1:
        raise BadParameterError(**{name: "Ensure this value is greater than or equal to 1."})
    return int(text)


def _check(query: Mapping[str, str], depth: int) -> None:
    if depth > DEPTH:
        raise BadParameterError(page=f"Only the first {DEPTH} results can be had.")
    for name, allowed in CHOICES.items():
        wrong = [value for value in _listed(query, name) if value not in allowed]
        if wrong:
            raise BadParameterError(**{name: f"'{wrong[0]}' is not a valid choice."})
    if "source" in query and "excluded_source" in query:
        raise BadParameterError(excluded_source="Cannot set both 'source' and 'excluded_source'.")


def _listed(query: Mapping[str, str], name: str) -> list[str]:
    return [value for value in query.get(name, "").lower().split(",") if value]


def _matches(exhibit: Exhibit, query: Mapping[str, str]) -> bool:
    """Every word of `q` in title or tags, and every filter that is set."""
    width, height = exhibit.picture.size
    pixels = width * height
    facts = {
        "license": exhibit.licence.code,
        "extension": extension(exhibit.picture.format),
        "category": "illustration",
        "aspect_ratio": "square" if width == height else "wide" if width > height else "tall",
        "size": "small" if pixels < 640 * 480 else "medium" if pixels < 1600 * 900 else "large",
        "source": _source(exhibit),
    }
    texts = {
        "q": f"{exhibit.title} {' '.join(_tags(exhibit))}",
        "title": exhibit.title,
        "tags": " ".join(_tags(exhibit)),
        "creator": exhibit.creator or "",
    }
    return (
        all(_has_words(text, query.get(name, "")) for name, text in texts.items())
        and all(fact in values for name, fact in facts.items() if (values := _listed(query, name)))
        and all(exhibit.licence.code in KINDS[kind] for kind in _listed(query, "license_type"))
        and _source(exhibit) not in _listed(query, "excluded_source")
    )


def _has_words(text: str, wanted: str) -> bool:
    """Whether all wanted words are there; a plural finds its singular, as stemming does it."""
    words = text.lower().split()
    return all(word in words or word.removesuffix("s") in words for word in wanted[:MAX_KEYWORD].lower().split())
