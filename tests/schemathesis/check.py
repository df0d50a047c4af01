"""Requests made from the OpenAPI document: no answer is a 5xx, and each is one that the document tells of.

Every operation is asked with and without a login, with ids that are made up and with those of things that are there.
It takes minutes, so it is no part of `make test`: `make schemathesis` runs it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backend.app import create_app
from backend.config import Settings
from backend.db import Database
from backend.services.access import Scope
from tests.api.world import give_key, keep_picture, make_world
from tests.serving import Served

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "1"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT = create_app(Settings(), Database("postgresql+psycopg://nowhere/none")).openapi()
# A preview asks the sources' services on the internet; tests/api/test_lists.py has its own to ask.
schema = schemathesis.openapi.from_dict(DOCUMENT).exclude(operation_id="preview_crawl")


@dataclass
class People:
    """Headers that prove who asks, and what the user has: ids by the name of the parameter."""

    user: dict[str, str]
    admin: dict[str, str]
    values: dict[str, Any]
    asked_as_nobody: bool = False


@pytest.fixture
def people(served: Served) -> People:
    """Made anew for each operation. Keys, because a session would end with the first log-out."""
    keep_picture(served)
    world = served.run(make_world)
    keys = [
        served.run(lambda session, name=name: give_key(session, world.people[name], Scope.ADMIN))
        for name in ("owner", "admin")
    ]
    return People(*({"Authorization": f"Bearer {key}"} for key in keys), world.values)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_tells_of(
    case: schemathesis.Case, served: Served, people: People
) -> None:
    """As made up by an admin, then by a user about things that are there; once as nobody."""

    def ask(headers: dict[str, str]) -> None:
        answer = case.call(served.url, headers=headers, timeout=20)
        case.validate_response(answer, checks=CHECKS)

    case.headers.pop("Authorization", None)
    ask(people.admin)
    for given in (case.path_parameters, case.query, case.body):
        if isinstance(given, dict):
            given.update({name: people.values[name] for name in given if name in people.values})
    ask(people.user)
    if not people.asked_as_nobody:
        people.asked_as_nobody = True
        ask({})
