"""The API's reference and the activity log as pages."""

from __future__ import annotations

from typing import Any

import httpx

from backend.models.enums import Role
from backend.web.reference import type_of
from tests.serving import Served


def test_the_reference_has_every_endpoint_and_schema(me: httpx.Client) -> None:
    document: dict[str, Any] = me.get("/api/v1/openapi.json").json()
    text = me.get("/api").text
    for methods in document["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in text
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in text
    assert '<a href="#schema-ProjectCreate">ProjectCreate</a>' in text


def test_the_reference_is_there_without_a_login(served: Served) -> None:
    with served.anonymous() as nobody:
        assert nobody.get("/api").status_code == 200


def test_types_in_words() -> None:
    assert type_of({"type": "array", "items": {"$ref": "#/components/schemas/Image"}}) == "list of Image"
    assert type_of({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}) == "date-time or null"
    assert type_of({"type": "object", "additionalProperties": {"type": "integer"}}) == "object of integer"
    assert type_of({"enum": ["keep", "reject"]}) == "keep | reject"
    assert type_of({}) == "anything"


def test_activity_tells_who_did_what(served: Served, me: httpx.Client) -> None:
    assert "Nothing yet" in me.get("/activity").text
    path = me.post("/projects/new", data={"name": "Birds <b>"}).url.path
    me.post(f"{path}/settings", data={"name": "Sea birds", "description": ""})
    text = me.get("/activity").text
    assert f'<a href="{path}">Birds &lt;b&gt;</a>' in text
    assert "name: Birds &lt;b&gt; → Sea birds" in text
    with served.browser(served.person()) as other:
        assert "Birds" not in other.get("/activity", headers={"Accept": "text/html"}).text
    with served.browser(served.person(Role.MODERATOR)) as moderator:
        assert "Sea birds" in moderator.get("/activity", headers={"Accept": "text/html"}).text


def test_activity_has_pages(me: httpx.Client) -> None:
    for n in range(51):
        me.post("/projects/new", data={"name": f"Project {n}"})
    text = me.get("/activity").text
    assert "Project 50" in text
    older = text.partition('<a class="button quiet" href="/activity?')[2].partition('"')[0]
    assert ">Project 0<" in me.get(f"/activity?{older}").text
