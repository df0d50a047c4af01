"""What stands in the query of every endpoint: cursors that are no place in a list, and names that nobody knows."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.config import Settings
from backend.http.paging import encode_cursor
from backend.http.queries import known_of
from tests.api.requests import request_of
from tests.api.test_matrix import ENDPOINTS, Endpoint
from tests.api.world import World, make_world
from tests.postgres import Server
from tests.serving import Served, serving

LISTS = [each for each in ENDPOINTS if "cursor" in known_of(each.route.original_route)]
API = [each for each in ENDPOINTS if str(each.route.path).startswith("/api/v1/")]
BEYOND = (-1, -(2**63), 2**63, 2**70)
"""What is no place in any list."""
FAR = (2**31, 2**62, 2**63 - 1)
"""What is one in those that count so far."""


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For a team, which has all pages."""
    home: Path = tmp_path_factory.mktemp("home")
    with embedded.migrated() as url, serving(Settings(home=home, database_url=url, accounts="team"), url) as running:
        yield running


@pytest.fixture(scope="module")
def world(served: Served) -> World:
    return served.run(make_world)


@pytest.fixture(scope="module")
def admin(served: Served, world: World) -> Iterator[httpx.Client]:
    with served.browser(world.people["admin"].id) as client:
        yield client


def ask(client: httpx.Client, endpoint: Endpoint, world: World, **query: Any) -> httpx.Response:
    given = request_of(endpoint.route, endpoint.method, world)
    given["params"] |= query
    return client.request(endpoint.method, **given)


def test_there_are_lists_of_the_api_and_pages() -> None:
    paths = {str(each.route.path) for each in LISTS}
    assert {"/", "/projects/{project_id}", "/admin/projects", "/api/v1/projects", "/api/v1/activity"} <= paths
    assert len(paths) > 20


@pytest.mark.parametrize("endpoint", LISTS, ids=str)
def test_a_cursor_that_is_no_place_is_refused(endpoint: Endpoint, admin: httpx.Client, world: World) -> None:
    for place in BEYOND:
        assert ask(admin, endpoint, world, cursor=encode_cursor(place)).status_code == 422, place
    for place in FAR:
        assert ask(admin, endpoint, world, cursor=encode_cursor(place)).status_code in {200, 422}, place
    assert ask(admin, endpoint, world).status_code == 200


def test_json_that_nests_too_deep_is_refused(admin: httpx.Client) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 20_000).decode().rstrip("=")
    for path in ("/api/v1/projects", "/"):
        assert admin.get(path, params={"cursor": deep}).status_code == 422, path
    sent = {"Content-Type": "application/json"}
    assert admin.post("/api/v1/projects", content=b"[" * 100_000, headers=sent).status_code in {400, 422}


def test_how_far_a_list_counts_is_told_by_its_column(admin: httpx.Client) -> None:
    for path, status in (("/api/v1/projects", 422), ("/", 422), ("/api/v1/activity", 200), ("/activity", 200)):
        assert admin.get(path, params={"cursor": encode_cursor(2**31)}).status_code == status, path


@pytest.mark.parametrize("endpoint", API, ids=str)
def test_a_parameter_that_nobody_knows_is_refused(endpoint: Endpoint, admin: httpx.Client, world: World) -> None:
    answer = ask(admin, endpoint, world, no_such="1")
    assert (answer.status_code, [*answer.json()["details"]["fields"]]) == (422, ["query.no_such"])


def test_a_misspelt_parameter_gets_a_suggestion_and_a_stranger_none(served: Served, admin: httpx.Client) -> None:
    told = admin.get("/api/v1/crawl-jobs", params={"projectid": 1}).json()["message"]
    assert told == "There is no parameter 'projectid'. Did you mean project_id?"
    with served.anonymous() as nobody:
        assert nobody.get("/api/v1/crawl-jobs", params={"projectid": 1}).status_code == 401
