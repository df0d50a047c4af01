"""The API's reference and the activity log as pages."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import ExportJob, Profile
from backend.models.enums import Role
from backend.services import activity
from backend.web.reference import type_of
from tests.api.albums import gathered, picture
from tests.serving import Served


def test_the_reference_has_every_endpoint_and_schema(me: httpx.Client) -> None:
    document: dict[str, Any] = me.get("/api/v1/openapi.json").json()
    text = me.get("/api").text
    assert "What create_crawl_job takes" in text
    assert "What list_images answers" in text
    assert len(text) < 350_000
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
    assert "Birds" not in me.get("/activity").text
    path = me.post("/projects/new", data={"name": "Birds <b>"}).url.path
    me.post(f"{path}/settings", data={"name": "Sea birds", "description": ""})
    text = me.get("/activity").text
    assert f'<a href="{path}">project Birds &lt;b&gt;</a>' in text
    assert "name: Birds &lt;b&gt; → Sea birds" in text
    with served.browser(served.person()) as other:
        assert "Birds" not in other.get("/activity", headers={"Accept": "text/html"}).text
    with served.browser(served.person(Role.MODERATOR)) as moderator:
        assert "Sea birds" in moderator.get("/activity", headers={"Accept": "text/html"}).text


def test_activity_is_told_in_words_with_links(served: Served, me: httpx.Client) -> None:
    person = me.get("/api/v1/profile").json()["id"]
    job = gathered(served, UUID(person), [picture()])
    me.post(f"/jobs/{job.job_id}/validation", data={"rule_min_width": "10"})
    me.post("/account/keys", data={"name": "Laptop", "scope": "read"})

    async def note(session: AsyncSession) -> int:
        session.add(made := ExportJob(crawl_job_id=job.job_id, user_id=UUID(person), name="Packed"))
        await session.flush()
        activity.note(session, UUID(person), "export_job.linked", made, (None, "link"))
        owner = await session.get_one(Profile, UUID(person))
        activity.note(session, None, "user.updated", owner, ({"full_name": None}, {"full_name": "Ann"}))
        return made.id

    export = served.run(note)
    text = me.get("/activity").text
    assert f'<a href="/jobs/{job.job_id}/exports">export job {export}</a>' in text
    assert f'<a href="/jobs/{job.job_id}/validation#past">validation job' in text
    assert '<a href="/account/keys">API key Laptop</a>' in text
    assert "full name: none → Ann" in text
    main = text.partition("<main")[2]
    assert person not in re.sub(r'(value|href)="[^"]*"', "", main)
    for raw in ("[&#39;", "{&#39;", "None", "00000000-"):
        assert raw not in main

    def shown(query: str) -> list[str]:
        return re.findall(r"<strong>(.*?)</strong>", me.get(f"/activity?{query}").text)

    assert shown("action=export_job.") == ["Export job linked"]
    assert shown(f"resource_type=export_jobs&resource_id={export}") == ["Export job linked"]
    assert "User updated" not in shown(f"user_id={person}")
    assert "Nothing is like that" in me.get("/activity?action=takedown.").text
    with served.browser(served.person(Role.MODERATOR)) as moderator:
        moderator.post("/api/v1/takedowns", json={"url": "https://example.org/gone.jpg"}).raise_for_status()
        assert '<a href="/admin/takedowns">takedown ' in moderator.get("/activity").text
        page = moderator.get(f"/activity?user_id={person}&action=export_job.").text
        assert page.count("<strong>") == 1
        assert f'<option value="{person}" selected>By ' in page


def test_activity_keeps_its_filter_on_the_next_page(me: httpx.Client) -> None:
    for n in range(51):
        me.post("/projects/new", data={"name": f"Project {n}"})
    assert re.search(r'href="/activity\?action=project\.&(amp;)?cursor=', me.get("/activity?action=project.").text)


def test_activity_has_pages(me: httpx.Client) -> None:
    for n in range(51):
        me.post("/projects/new", data={"name": f"Project {n}"})
    text = me.get("/activity").text
    assert "Project 50" in text
    older = text.partition('<a class="button quiet" href="/activity?')[2].partition('"')[0]
    assert ">project Project 0<" in me.get(f"/activity?{older}").text
