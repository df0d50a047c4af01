"""Every endpoint that changes something leaves an entry that names who, and from which state to which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.config import Settings
from backend.http.access import SAFE, rule_of
from backend.models import ActivityLog, CrawlJob, ExportJob, Profile, Project, ValidationJob
from backend.models.enums import Choice
from backend.services import decisions
from backend.services.access import Scope
from tests.api.requests import request_of
from tests.api.test_matrix import ENDPOINTS, Endpoint, cookie_of, entitled
from tests.api.world import World, give_key, keep_picture, make_world
from tests.postgres import Server
from tests.serving import Served, serving

CHANGING = [each for each in ENDPOINTS if each.method not in SAFE]

NOTHING_CHANGES = {
    "POST /api/v1/crawl-jobs/preview": "looks",
    "POST /api/v1/crawl-jobs/{crawl_job_id}/rules/preview": "counts",
    "POST /theme": "a cookie of the browser",
}
"""What takes a body and changes no row; with the reason."""

Values = Mapping[str, Any]
GIVEN: Mapping[str, Callable[[Values], Values]] = {
    "PATCH /api/v1/projects/{project_id}": lambda _: {"json": {"name": "Another"}},
    "PATCH /api/v1/crawl-jobs/{crawl_job_id}": lambda _: {"json": {"name": "Another"}},
    "PATCH /api/v1/profile": lambda _: {"json": {"full_name": "Somebody"}},
    "PUT /api/v1/profile/password": lambda had: {"json": {"old": had["password"], "new": had["new_password"]}},
    "POST /api/v1/users": lambda had: {"json": {"email": had["new_email"]}},
    "PATCH /api/v1/users/{user_id}": lambda _: {"json": {"role": "moderator"}},
    "POST /api/v1/takedowns": lambda _: {"json": {"url": "https://example.org/1.jpg"}},
    "DELETE /api/v1/projects/{project_id}/decisions": lambda had: {"json": {"image_ids": had["image_ids"]}},
    "POST /admin/users/{user_id}/remove": lambda _: {"data": {"sure": "yes"}},
    "POST /admin/projects/{deleted_id}/purge": lambda _: {"data": {"sure": "yes"}},
    "POST /admin/takedowns": lambda _: {"data": {"image": "https://example.org/2.jpg"}},
    "POST /admin/takedowns/{takedown_id}/withdraw": lambda _: {"data": {"sure": "yes"}},
    "POST /projects/new": lambda _: {"data": {"name": "Another"}},
    "POST /projects/{project_id}/settings": lambda _: {"data": {"name": "Another"}},
    "POST /projects/{project_id}/status": lambda _: {"data": {"status": "archived"}},
    "POST /projects/{project_id}/new": lambda _: {
        "data": {"name": "A", "keywords": "cat", "sources": "openverse", "max_images": "10", "action": "start"}
    },
    "POST /jobs/{job_id}/name": lambda _: {"data": {"name": "Another"}},
    "POST /jobs/{job_id}/delete": lambda _: {"data": {"sure": "yes"}},
    "POST /jobs/{job_id}/images": lambda had: {"data": {"choice": "keep", "image_ids": had["image_id"]}},
    "POST /images/{image_id}": lambda had: {"data": {"choice": "keep", "image_ids": had["image_id"]}},
    "POST /images/{image_id}/takedown": lambda _: {"data": {"sure": "yes"}},
    "POST /jobs/{job_id}/copies/{image_id}": lambda had: {"data": {"reject": had["image_id"]}},
    "POST /jobs/{job_id}/exports": lambda _: {"data": {"name": "A", "format": "zip"}},
}
"""What makes a request change something where `request_of` does not."""


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, accounts="team")
    with embedded.migrated() as url, serving(settings.model_copy(update={"database_url": url}), url) as running:
        keep_picture(running)
        yield running


async def prepare(session: AsyncSession, endpoint: Endpoint) -> tuple[World, Profile, dict[str, str]]:
    """A world in which there is something for the endpoint to do, and the proof of somebody who may."""
    world = await make_world(session)
    values, path = world.values, str(endpoint.route.path)
    last = path.rstrip("/").rsplit("/", 1)[-1].replace("{action}", values["action"])
    if last in {"cancel", "retry", "start"}:
        state = {"cancel": "running", "retry": "failed", "start": "pending"}[last]
        of_job = path.endswith(f"{{crawl_job_id}}/{last}") or path.endswith(f"/jobs/{{job_id}}/{last}")
        followers = [(ValidationJob, "validation_job_id"), (ExportJob, "export_job_id")]
        for kind, name in [(CrawlJob, "job_id")] if of_job else followers:
            await session.execute(update(kind).filter_by(id=values[name]).values(status=state))
    there = {"download_url": "file:///x", "expires_at": datetime.now(UTC) + timedelta(days=1)}
    if last == "link":
        await session.execute(update(ExportJob).filter_by(id=values["export_job_id"]).values(there))
    if endpoint.method == "DELETE" and path.endswith("/decisions"):
        project = await session.get_one(Project, values["project_id"])
        await decisions.decide(session, project, values["image_ids"], Choice.KEEP, user_id=project.user_id)
    person = entitled(endpoint, world)
    if path == "/logout":
        return world, person, await cookie_of(session, "owner", person)
    scope = {"Authorization": f"Bearer {await give_key(session, person, Scope.ADMIN)}"}
    return world, person, scope if rule_of(endpoint.route) else {}


@pytest.mark.parametrize("endpoint", [each for each in CHANGING if str(each) not in NOTHING_CHANGES], ids=str)
def test_a_change_is_noted(served: Served, endpoint: Endpoint) -> None:
    world, person, headers = served.run(lambda session: prepare(session, endpoint))
    before = served.run(lambda session: session.scalar(select(func.max(ActivityLog.id)))) or 0
    given = request_of(endpoint.route, endpoint.method, world)
    if str(endpoint) in GIVEN:
        given = {"url": given["url"], **GIVEN[str(endpoint)](world.values)}
    with served.anonymous() as client:
        answer = client.request(endpoint.method, headers=headers, **given)
    assert answer.status_code < 400, answer.text

    async def entries(session: AsyncSession) -> Sequence[ActivityLog]:
        return (await session.scalars(select(ActivityLog).where(ActivityLog.id > before))).all()

    noted = served.run(entries)
    who = person.id if headers else world.values["user_id"]
    assert who in {entry.user_id for entry in noted}
    for entry in noted:
        assert entry.metadata_ is not None
        assert entry.user_id == who or entry.metadata_["by"] == "worker"
        assert {"from", "to"} <= entry.metadata_.keys()
        assert entry.metadata_["from"] != entry.metadata_["to"]
