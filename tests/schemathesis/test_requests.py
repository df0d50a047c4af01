"""Requests made from the OpenAPI document: no answer is a 5xx, and each is one that the document tells of.

Every operation is asked with and without a login, with ids that are made up and with those of things that are there.
`make test` asks the same few examples of each every time, `make schemathesis` many others. Where sources are asked, the
demo's web answers in the place of all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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

from backend import app
from backend.app import create_app
from backend.config import Settings
from backend.db import Database
from backend.services.access import Scope
from backend.tasks.preview import open_preview
from gleanset.sources import SOURCES
from tests.api.world import give_key, keep_picture, make_world
from tests.demo import demo_web
from tests.postgres import Server
from tests.serving import Served, serving

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
FEW = 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT = create_app(Settings(), Database("postgresql+psycopg://nowhere/none")).openapi()
schema = schemathesis.openapi.from_dict(DOCUMENT)


@dataclass
class People:
    """Headers that prove who asks, and what the user has: ids by the name of the parameter."""

    user: dict[str, str]
    admin: dict[str, str]
    values: dict[str, Any]
    asked_as_nobody: bool = False


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Its previews may go to this machine, where the demo's web is every source's service, and do not wait for long."""
    home: Path = tmp_path_factory.mktemp("home")
    with (
        demo_web() as web,
        embedded.migrated() as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(app, "open_preview", partial(open_preview, seconds=0.3, allow_private=True))
        sources = {name: web.openverse_url for name, info in SOURCES.items() if info.url}
        given = {"hosts": dict(web.hosts), "source_urls": sources, "interval": 0.0}
        with serving(Settings(home=home, database_url=url, **given), url) as running:
            keep_picture(running)
            yield running


@pytest.fixture
def people(served: Served) -> People:
    """Made anew for each operation. Keys, because a session would end with the first log-out."""
    world = served.run(make_world)
    keys = [
        served.run(lambda session, name=name: give_key(session, world.people[name], Scope.ADMIN))
        for name in ("owner", "admin")
    ]
    return People(*({"Authorization": f"Bearer {key}"} for key in keys), world.values)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES or FEW,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
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
