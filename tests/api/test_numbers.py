"""A number that no column can hold is refused, wherever a request may carry one: never a 500."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from backend.services.access import Scope
from tests.api.test_document import DOCUMENT, OPERATIONS
from tests.api.world import give_key, make_world
from tests.serving import Served

NUMBERS = (-1, 2**31, 2**63)
LEFT_OUT = {"follow_progress", "preview_crawl"}
"""What would not end, and what asks the internet."""


def shape_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema behind its reference, and what is not null of alternatives."""
    while True:
        if "$ref" in schema:
            schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        elif choices := [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]:
            schema = next((each for each in choices if each.get("type") in ("integer", "number")), choices[0])
        else:
            return schema


def numbers_in(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where numbers stand in a body of this shape."""
    shape = shape_of(schema)
    if shape.get("type") in ("integer", "number") and path:
        yield path
    for name, inner in shape.get("properties", {}).items():
        if len(path) < 4:
            yield from numbers_in(inner, (*path, name))


def with_number(body: dict[str, Any], path: tuple[str, ...], number: float) -> dict[str, Any]:
    """The body with the number in that place."""
    changed = copy.deepcopy(body)
    inner = changed
    for name in path[:-1]:
        if not isinstance(inner.get(name), dict):
            inner[name] = {}
        inner = inner[name]
    inner[path[-1]] = number
    return changed


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in LEFT_OUT])
def test_no_number_is_an_error_of_ours(served: Served, name: str) -> None:
    method, path, operation = OPERATIONS[name]
    world = served.run(make_world)
    key = served.run(lambda session: give_key(session, world.people["owner"], Scope.ADMIN))
    asked: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = []
    for parameter in operation.get("parameters", ()):
        if shape_of(parameter["schema"]).get("type") in ("integer", "number"):
            for number in NUMBERS:
                if parameter["in"] == "query":
                    asked.append((path.format(**world.values), {parameter["name"]: number}, None))
                elif parameter["in"] == "path":
                    values = world.values | {parameter["name"]: number}
                    asked.append((path.format(**values), {}, None))
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    for place in numbers_in(content["schema"]) if content else ():
        body = content["example"] | {each: world.values[each] for each in content["example"] if each in world.values}
        asked += [(path.format(**world.values), {}, with_number(body, place, number)) for number in NUMBERS]
    with served.anonymous(headers={"Authorization": f"Bearer {key}"}) as client:
        for url, query, body in asked:
            answer = client.request(method, url, params=query, json=body)
            assert answer.status_code < 500, (method, url, query, body, answer.text)
