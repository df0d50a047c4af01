"""A deleted project is an admin's to restore or to remove for good; its owner is told until when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from backend import queue
from backend.models.enums import Role
from backend.services import retention
from tests.api.gathered import gathered
from tests.services.helpers import downloaded
from tests.serving import Served
from tests.tasks.helpers import rows

DELETED = "/api/v1/deleted-projects"


@pytest.fixture
def admin(served: Served) -> Iterator[httpx.Client]:
    with served.browser(served.person(Role.ADMIN)) as client:
        yield client


@pytest.fixture
def job(served: Served, me: httpx.Client) -> str:
    """The path of a job with an image."""
    return f"/api/v1/crawl-jobs/{gathered(served, me, [downloaded('one')], max_images=1)}"


def project_of(me: httpx.Client, job: str) -> int:
    number: int = me.get(job).json()["project_id"]
    return number


def listed(admin: httpx.Client, project: int) -> dict[str, object] | None:
    items = admin.get(DELETED, params={"limit": 200}).json()["items"]
    return next((each for each in items if each["id"] == project), None)


@pytest.mark.parametrize("way", ["delete", "patch"])
def test_who_deletes_is_told_until_when_it_can_be_restored(me: httpx.Client, job: str, way: str) -> None:
    path = f"/api/v1/projects/{project_of(me, job)}"
    answer = me.delete(path) if way == "delete" else me.patch(path, json={"status": "deleted"})
    told = answer.json()
    assert (answer.status_code, told["status"], told["images"]) == (200, "deleted", 1)
    left = datetime.fromisoformat(told["restorable_until"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


def test_an_admin_sees_and_restores_it(me: httpx.Client, admin: httpx.Client, job: str) -> None:
    project = project_of(me, job)
    assert listed(admin, project) is None
    assert admin.post(f"{DELETED}/{project}/restore").status_code == 404
    told = me.delete(f"/api/v1/projects/{project}").json()
    assert listed(admin, project) == told
    assert told["owner"] == me.get("/api/v1/profile").json()["email"]
    assert me.get(DELETED).status_code == me.post(f"{DELETED}/{project}/restore").status_code == 403
    back = admin.post(f"{DELETED}/{project}/restore").json()
    assert (back["id"], back["status"]) == (project, "active")
    assert me.get(job).json()["downloaded_images"] == 1
    assert listed(admin, project) is None
    log = me.get("/api/v1/activity", params={"resource_type": "projects", "resource_id": project}).json()["items"]
    assert "project.restored" in [entry["action"] for entry in log]


def test_what_was_archived_comes_back_archived(me: httpx.Client, admin: httpx.Client, job: str) -> None:
    path = f"/api/v1/projects/{project_of(me, job)}"
    for before in ("archived", "active"):
        assert me.patch(path, json={"status": before}).status_code == 200
        assert me.delete(path).status_code == 200
        back = admin.post(f"{DELETED}/{path.rpartition('/')[2]}/restore").json()
        assert back["status"] == me.get(path).json()["status"] == before


def test_an_admin_removes_it_without_waiting(served: Served, me: httpx.Client, admin: httpx.Client, job: str) -> None:
    project = project_of(me, job)
    assert admin.delete(f"{DELETED}/{project}").status_code == 404, "it has to be deleted first"
    me.delete(f"/api/v1/projects/{project}")
    answer = admin.delete(f"{DELETED}/{project}")
    assert (answer.status_code, answer.json()["restorable_until"]) == (202, None)
    refused = admin.post(f"{DELETED}/{project}/restore")
    assert (refused.status_code, "being removed for good" in refused.json()["message"]) == (409, True)
    args = f"'{{\"project_id\": {project}}}'"
    found = served.do(
        rows(served.database, f"SELECT queue_name, lock FROM procrastinate_jobs WHERE args = CAST({args} AS jsonb)")
    )
    assert found == [(queue.MAINTENANCE, queue.MAINTENANCE)]
    assert served.do(retention.purge(served.settings, served.database, project)) == ""
    assert listed(admin, project) is None
    left = served.do(rows(served.database, f"SELECT count(*) FROM projects WHERE id = {project}"))
    assert left == [(0,)]


def test_the_page_of_deleted_projects(me: httpx.Client, admin: httpx.Client, job: str) -> None:
    project, html = project_of(me, job), {"Accept": "text/html"}
    answer = me.post(f"/projects/{project}/status", data={"status": "deleted", "sure": "yes"}, headers=html)
    assert answer.status_code == 303
    assert "An admin can restore it until" in me.get("/", headers=html).text
    page = "/admin/projects"
    assert f'action="{page}/{project}/restore"' in admin.get(page, headers=html).text
    admin.post(f"{page}/{project}/purge", headers=html)
    assert "tick the box first" in admin.get(page, headers=html).text
    assert admin.post(f"{page}/{project}/restore", headers=html).headers["Location"] == f"/projects/{project}"
    me.delete(f"/api/v1/projects/{project}")
    admin.post(f"{page}/{project}/purge", data={"sure": "yes"}, headers=html)
    shown = admin.get(page, headers=html).text
    assert "It is being removed for good." in shown
    assert f'action="{page}/{project}/restore"' not in shown
