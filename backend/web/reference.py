"""The API's reference, made of its OpenAPI document, so that it needs no script and nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from backend.http.access import anybody
from backend.web.render import page

router = APIRouter()
_REFERENCES = "#/components/schemas/"
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A parameter, or a field of a schema. `place` is path, query or header for a parameter."""

    name: str
    type: str
    required: bool
    description: str
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    id: str
    method: str
    path: str
    title: str
    description: str
    parameters: Sequence[Field]
    body: str
    sent: str
    answers: Sequence[tuple[str, str, str]]
    got: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    name: str
    description: str
    fields: Sequence[Field]
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePage:
    version: str
    groups: Sequence[tuple[str, Sequence[Operation]]]
    schemas: Sequence[Schema]
    names: frozenset[str]


@router.get("/api", dependencies=[Depends(anybody)])
async def show_reference(request: Request) -> Response:
    """Every endpoint by its noun, and the shapes that they take and give."""
    state = request.app.state
    if not hasattr(state, "reference"):  # it is the same as long as the process runs
        state.reference = _reference(request.app.openapi())
    return page(request, "reference.html", state.reference)


def _reference(document: Json) -> ReferencePage:
    groups: dict[str, list[Operation]] = {}
    for path, methods in document.get("paths", {}).items():
        for method, operation in methods.items():
            groups.setdefault(next(iter(operation.get("tags", ())), "other"), []).append(
                _operation(method, path, operation)
            )
    schemas = document.get("components", {}).get("schemas", {})
    return ReferencePage(
        version=document["info"]["version"],
        groups=list(groups.items()),
        schemas=[_schema(name, schema) for name, schema in sorted(schemas.items())],
        names=frozenset(schemas),
    )


def _operation(method: str, path: str, operation: Json) -> Operation:
    given = operation.get("parameters", ())
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        title=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=[
            Field(
                name=each["name"],
                type=type_of(each.get("schema", {})),
                required=each.get("required", False),
                description=each.get("description", ""),
                place=each["in"],
            )
            for each in given
        ],
        body=_content(operation.get("requestBody", {})),
        sent=_example(operation.get("requestBody", {})),
        answers=[(status, each["description"], _content(each)) for status, each in operation["responses"].items()],
        got=next((text for each in operation["responses"].values() if (text := _example(each))), ""),
    )


def _example(given: Json) -> str:
    """The example of a body, as JSON; empty where there is none."""
    found = next((each["example"] for each in given.get("content", {}).values() if "example" in each), None)
    return "" if found is None else json.dumps(found, indent=1, ensure_ascii=False)


def _content(given: Json) -> str:
    """The type of a body, whatever its media type is; JSON goes without saying."""
    return ", ".join(
        type_of(each.get("schema", {})) if "json" in media else media
        for media, each in given.get("content", {}).items()
    )


def _schema(name: str, schema: Json) -> Schema:
    required = schema.get("required", ())
    return Schema(
        name=name,
        description=schema.get("description", ""),
        fields=[
            Field(
                name=each,
                type=type_of(field),
                required=each in required,
                description=field.get("description", ""),
            )
            for each, field in schema.get("properties", {}).items()
        ],
        type="" if "properties" in schema else type_of(schema),
    )


def type_of(schema: Json) -> str:
    """A schema's type in a few words: `integer`, `list of Image`, `text or null`."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REFERENCES)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(type_of(each) for each in schema[several]))
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    match schema.get("type"):
        case "array":
            return f"list of {type_of(schema.get('items', {}))}"
        case "object":
            inner = schema.get("additionalProperties")
            return f"object of {type_of(inner)}" if isinstance(inner, Mapping) and inner else "object"  # pyright: ignore[reportUnknownArgumentType]
        case "string":
            return str(schema.get("format", "text"))
        case None:
            return "anything"
        case plain:
            return str(plain)
