"""A request that an endpoint takes, made from what it declares: its path, query and body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.params import File
from fastapi.routing import RouteContext
from pydantic import BaseModel, TypeAdapter

from tests.api.world import KINDS, Kind, World

Schema = dict[str, Any]

# Where what the schema says is not enough; by method and path.
BODIES: Mapping[tuple[str, str], Schema] = {
    ("POST", "/api/v1/crawl-jobs"): {"keywords": ["cat"]},
    ("POST", "/api/v1/crawl-jobs/preview"): {"options": {"lists": [{"url": "https://example.org/list.csv"}]}},
}
FORMS: Mapping[str, Mapping[str, str]] = {
    "/login": {"email": "email", "password": "password"},
    "/account": {"full_name": "name"},
    "/account/password": {"old": "password", "new": "new_password", "again": "new_password"},
    "/account/keys": {"name": "name", "scope": "scope"},
    "/admin/users": {"email": "new_email", "role": "role"},
    "/admin/users/{user_id}/role": {"role": "role"},
    "/admin/users/{user_id}/status": {"disabled": "disabled"},
}
"""Fields of forms by the path of their route, and which value of the world each has."""

# What reads its form itself, and so declares no field.
UPLOADS = {"/api/v1/lists"}


def objects_of(route: RouteContext) -> set[str]:
    """The names of the objects that a request to the route has to name."""
    names = {*_path(route), *_query(route), *(name for name, _ in _required(_schema(route)))}
    return {name for name in names if name in KINDS}


def unknown_of(route: RouteContext) -> set[str]:
    """Parameters of the path that the table of kinds does not know."""
    return set(_path(route)) - KINDS.keys()


def request_of(route: RouteContext, method: str, world: World) -> dict[str, Any]:
    """Arguments for httpx."""
    path = str(route.path)
    for name in _path(route):
        path = path.replace(f"{{{name}}}", str(world.values[name]))
    made: dict[str, Any] = {"url": path, "params": {name: world.values.get(name, "x") for name in _query(route)}}
    files = [field.alias for field in route.dependant.body_params if isinstance(field.field_info, File)]
    if str(route.path) in UPLOADS:
        files = ["file"]
    if files:
        made["files"] = dict.fromkeys(files, ("list.csv", b"url\nhttps://example.org/1.jpg\n", "text/csv"))
    elif schema := _schema(route):
        made["json"] = _example(schema, schema.get("$defs", {}), world) | BODIES.get((method, str(route.path)), {})
    elif method == "POST" and not str(route.path).startswith("/api/"):
        made["data"] = {name: world.values[value] for name, value in FORMS.get(str(route.path), {}).items()} or {
            "any": "thing"
        }
    return made


def kinds_of(route: RouteContext) -> set[Kind]:
    return {KINDS[name] for name in objects_of(route)}


def _path(route: RouteContext) -> list[str]:
    return list(route.param_convertors)


def _query(route: RouteContext) -> list[str]:
    names: list[str] = []
    for field in _all_query(route.dependant):
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):  # its fields are the parameters
            names += [name for name, inner in annotation.model_fields.items() if inner.is_required()]
        elif field.field_info.is_required():
            names.append(field.alias)
    return names


def _all_query(dependant: Any) -> Iterator[Any]:
    yield from dependant.query_params
    for inner in dependant.dependencies:
        yield from _all_query(inner)


def _schema(route: RouteContext) -> Schema:
    """The JSON schema of the body; empty when there is none."""
    if route.body_field is None or any(isinstance(field.field_info, File) for field in route.dependant.body_params):
        return {}
    return TypeAdapter(route.body_field.field_info.annotation).json_schema()


def _required(schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name in schema.get("required", ()):
        yield name, schema.get("properties", {}).get(name, {})


def _example(schema: Schema, definitions: Schema, world: World) -> Any:
    """The smallest value that the schema allows; objects are those of the world."""
    if "$ref" in schema:
        return _example(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions, world)
    for known in ("const", "default"):
        if known in schema:
            return schema[known]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _example(schema[several][0], definitions, world)
    match schema.get("type"):
        case "object":
            return {
                name: world.values[name] if name in KINDS else _example(each, definitions, world)
                for name, each in _required(schema)
            }
        case "array":
            return [_example(schema["items"], definitions, world)] * max(1, schema.get("minItems", 0))
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "string":
            return _text(schema, world)
        case _:
            return None


def _text(schema: Schema, world: World) -> str:
    match schema.get("format"):
        case "uuid":
            return str(world.values["user_id"])
        case "date-time":
            return "2099-01-01T00:00:00Z"
        case "email":
            return f"{world.values['user_id'].hex}@example.net"
        case _:
            return "x" * max(1, schema.get("minLength", 1))
