"""Pictures in the JSON-LD of a page: `ImageObject`s and `image` properties of schema.org, with what they state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gleanset.sources.licence import parse_licence
from gleanset.sources.pictures import Picture, absolute, picture_url
from gleanset.sources.text import as_dict, as_list, clean, integer, storable, without_nothing
from gleanset.types import Licence

_DEEPEST = 20
_LONGEST = 2000
_LONGEST_LICENCE = 50
_PROPERTIES = {"image", "images", "photo", "primaryImageOfPage"}
_TYPES = {"ImageObject", "Photograph"}
_PASSED_OVER = {"@context", "thumbnail"}

Node = Mapping[str, Any]


def pictures(script: str, base: str) -> Iterator[Picture]:
    """The pictures of one script, in order; none when it is not JSON."""
    try:
        document = json.loads(script)
    except (ValueError, RecursionError):
        return
    by_id = {key: node for node, _ in _nodes(document) if len(node) > 1 and (key := _text(node.get("@id")))}
    for node, key in _nodes(document):
        if key in _PROPERTIES or any(kind in _TYPES for kind in _listed(node.get("@type"))):
            picture = _picture(node, base, by_id)
            if picture:
                yield picture
        for name in _PROPERTIES & node.keys():
            for link in _listed(node[name]):
                url = picture_url(base, link) if isinstance(link, str) else None
                if url:
                    yield Picture(url=url, found="json-ld")


def _nodes(value: Any, key: str | None = None, depth: int = 0) -> Iterator[tuple[Node, str | None]]:
    """Every object with the property that holds it, outer ones first."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in as_list(value):
            yield from _nodes(item, key, depth + 1)
    elif isinstance(value, dict):
        node = as_dict(value)
        yield node, key
        for name, item in node.items():
            if name not in _PASSED_OVER:
                yield from _nodes(item, name, depth + 1)


def _picture(node: Node, base: str, by_id: Mapping[str, Node]) -> Picture | None:
    url = picture_url(base, _text(node.get("contentUrl")) or _text(node.get("url")))
    if url is None:
        return None
    creators = [_resolved(item, by_id) for item in _listed(node.get("creator")) or _listed(node.get("author"))]
    names = [name for item in creators if (name := _text(item.get("name")))]
    links = [link for item in creators if (link := absolute(base, _text(item.get("url"))))]
    return Picture(
        url=url,
        found="json-ld",
        title=_text(node.get("name")),
        caption=_text(node.get("caption")) or _text(node.get("description")),
        width=_pixels(node.get("width")),
        height=_pixels(node.get("height")),
        licence=_licence(node.get("license"), base),
        creator=", ".join(names)[:_LONGEST] or None,
        creator_url=links[0] if links else None,
        attribution=_text(node.get("creditText")),
        extra=without_nothing(
            {
                "copyright_notice": _text(node.get("copyrightNotice")),
                "acquire_licence_page": absolute(base, _link(node.get("acquireLicensePage"))),
            }
        ),
    )


def _resolved(value: Any, by_id: Mapping[str, Node]) -> Node:
    """The object, also when it is only named by its `@id`; a bare text is the name of somebody."""
    node = as_dict(value) or {"name": value}
    return by_id.get(_text(node.get("@id")) or "", node) if len(node) == 1 else node


def _licence(value: Any, base: str) -> Licence | None:
    stated = _link(value)
    if stated is None:
        return None
    url = absolute(base, stated) if "/" in stated else None
    return parse_licence(None, url=url) if url else parse_licence(stated[:_LONGEST_LICENCE])


def _link(value: Any) -> str | None:
    node = as_dict(value)
    return _text(node.get("url") or node.get("@id") or node.get("name") if node else value)


def _pixels(value: Any) -> int | None:
    """A width or height: a number, a text such as `640 px`, or a `QuantitativeValue`."""
    value = as_dict(value).get("value") if isinstance(value, dict) else value
    number = integer(value.strip().removesuffix("px").strip() if isinstance(value, str) else value)
    return number if number is not None and 0 < number < 2**31 else None


def _text(value: Any) -> str | None:
    """A text, of several the first."""
    first = next(iter(_listed(value)), None)
    return clean(storable(first)[:_LONGEST]) if isinstance(first, str) else None


def _listed(value: Any) -> list[Any]:
    return as_list(value) if isinstance(value, list) else [] if value is None else [value]
