"""The OpenAPI document tells enough of each operation to write a client from it."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest
from pydantic import TypeAdapter

from backend.api.document import EXAMPLES, PARAMETERS
from backend.app import create_app
from backend.config import Settings
from backend.db import Database
from backend.http.access import endpoints
from backend.services.access import Scope
from tests.api.world import give_key, make_world
from tests.serving import Served

APP = create_app(Settings(), Database("postgresql+psycopg://nowhere/none"))
DOCUMENT = APP.openapi()
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
WITH_BODY = [
    name
    for name, (_, _, operation) in OPERATIONS.items()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
]

ELSEWHERE = {"preview_crawl", "change_password", "invite_user", "update_user", "take_down"}
"""Operations that ask the internet, know the old password, or are an admin's or a moderator's."""


def test_it_is_of_openapi_3_1_and_every_operation_has_a_name_of_its_own() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert len(OPERATIONS) == sum(len(operations) for operations in DOCUMENT["paths"].values()) > 40
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_described_with_its_problems(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"].endswith((".", "`"))
    problems = {status: answer for status, answer in operation["responses"].items() if status[0] in "45"}
    assert {"401", "404", "422", "429"} <= problems.keys()
    for status in ("401", "404", "422", "429"):
        schema = problems[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Problem"}


def test_examples_are_of_operations_with_bodies_and_of_all_of_them() -> None:
    assert sorted(EXAMPLES) == sorted(WITH_BODY)
    for name in WITH_BODY:
        content = OPERATIONS[name][2]["requestBody"]["content"]["application/json"]
        assert content["example"] == EXAMPLES[name]


@pytest.mark.parametrize("name", OPERATIONS)
def test_parameters_have_examples_that_are_of_their_shape(name: str) -> None:
    for parameter in OPERATIONS[name][2].get("parameters", ()):
        jsonschema_rs.validate(parameter["schema"] | {"components": DOCUMENT["components"]}, parameter["example"])


def test_no_parameter_is_described_that_is_not_there() -> None:
    told = {name: operation.get("parameters", ()) for name, (_, _, operation) in OPERATIONS.items()}
    there = {(name, each["name"]) for name, parameters in told.items() for each in parameters}
    of_operations = {key for key in PARAMETERS if "." in key}
    assert PARAMETERS.keys() - of_operations == {parameter for _, parameter in there}
    assert of_operations <= {".".join(each) for each in there}


ANSWERING = {
    name: content["application/json"]
    for name, (_, _, operation) in OPERATIONS.items()
    for status, answer in operation["responses"].items()
    if status.startswith("2") and "application/json" in (content := answer.get("content", {}))
}
SHAPES = {
    str(route.name): route.original_route.response_model for route in endpoints(APP) if route.path in DOCUMENT["paths"]
}


@pytest.mark.parametrize("name", ANSWERING)
def test_answers_have_examples_that_are_of_their_shape(name: str) -> None:
    example = ANSWERING[name]["example"]
    shape = TypeAdapter(SHAPES[name])
    again = shape.dump_python(shape.validate_json(json.dumps(example)), mode="json")
    assert _shape(example) == _shape(again)


def _shape(value: Any) -> Any:
    """Names of fields, however deep."""
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    return [_shape(each) for each in value] if isinstance(value, list) else None


def test_the_document_tells_how_to_prove_who_asks() -> None:
    assert DOCUMENT["components"]["securitySchemes"].keys() == {"bearer", "session"}
    assert DOCUMENT["security"] == [{"bearer": []}, {"session": []}]
    open_ = {name for name, (_, _, operation) in OPERATIONS.items() if operation.get("security") == []}
    assert open_ >= {"live", "ready"}
    assert "list_projects" not in open_


@pytest.mark.parametrize("name", [name for name in WITH_BODY if name not in ELSEWHERE])
def test_examples_are_bodies_that_are_taken(served: Served, name: str) -> None:
    method, path, _ = OPERATIONS[name]
    world = served.run(make_world)
    key = served.run(lambda session: give_key(session, world.people["owner"], Scope.ADMIN))
    body = EXAMPLES[name] | {field: world.values[field] for field in EXAMPLES[name] if field in world.values}
    with served.anonymous(headers={"Authorization": f"Bearer {key}"}) as client:
        answer = client.request(method, path.format(**world.values), json=body)
    assert answer.status_code < 300 or answer.status_code == 409, answer.text
