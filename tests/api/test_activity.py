"""The activity log: one's own, others' for moderators, and all of what one may see."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob
from backend.models.enums import JobStatus, Role
from backend.services import states
from tests.api.gathered import gathered
from tests.serving import Served

LOG = "/api/v1/activity"


@pytest.fixture
def moderator(served: Served) -> Iterator[httpx.Client]:
    with served.browser(served.person(Role.MODERATOR)) as client:
        yield client


def test_everybody_reads_their_own_newest_first(me: httpx.Client, other: httpx.Client) -> None:
    for n in range(5):
        me.post("/api/v1/projects", json={"name": f"P{n}"})
    other.post("/api/v1/projects", json={"name": "Theirs"})
    names: list[str] = []
    cursor = None
    while True:
        page = me.get(LOG, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        names += [entry["metadata_"]["name"] for entry in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert names == ["P4", "P3", "P2", "P1", "P0"]


def test_it_is_narrowed_by_action(me: httpx.Client) -> None:
    path = f"/api/v1/projects/{me.post('/api/v1/projects', json={'name': 'P'}).json()['id']}"
    me.patch(path, json={"name": "Q"})
    assert [entry["action"] for entry in me.get(LOG, params={"action": "project.u"}).json()["items"]] == [
        "project.updated"
    ]
    assert len(me.get(LOG, params={"action": "project."}).json()["items"]) == 2
    assert me.get(LOG, params={"action": "project_"}).json()["items"] == []  # no wildcard
    assert me.get(LOG, params={"action": "%"}).status_code == 422


def test_what_workers_did_to_ones_own_is_told(served: Served, me: httpx.Client, other: httpx.Client) -> None:
    job_id = gathered(served, me, [])

    async def work(session: AsyncSession) -> None:
        job = await session.get_one(CrawlJob, job_id)
        job.status = "running"
        await states.move(session, job, JobStatus.FAILED, error="No answer.")

    served.run(work)
    about = {"resource_type": "crawl_jobs", "resource_id": job_id}
    told = [(entry["action"], entry["user_id"] is None) for entry in me.get(LOG, params=about).json()["items"]]
    assert told == [("crawl_job.failed", True), ("crawl_job.created", False)]
    assert other.get(LOG, params=about).status_code == 404
    assert me.get(LOG, params={"resource_id": job_id}).status_code == 422
    assert me.get(LOG, params=about | {"resource_type": "profiles"}).json()["items"] == []


def test_moderators_read_everybodys(me: httpx.Client, other: httpx.Client, moderator: httpx.Client) -> None:
    me.post("/api/v1/projects", json={"name": "Mine"})
    other.post("/api/v1/projects", json={"name": "Theirs"})
    [mine] = me.get(LOG).json()["items"]
    everybodys = moderator.get(LOG, params={"action": "project.created"}).json()["items"]
    names = [entry["metadata_"]["name"] for entry in everybodys]
    assert {"Mine", "Theirs"} <= set(names)
    assert moderator.get(LOG, params={"user_id": mine["user_id"]}).json()["items"] == [mine]
    assert other.get(LOG, params={"user_id": mine["user_id"]}).status_code == 403
    assert me.get(LOG, params={"user_id": mine["user_id"]}).json()["items"] == [mine]


def test_the_sources_are_told_without_their_keys(served: Served, me: httpx.Client) -> None:
    told = {source["name"]: source for source in me.get("/api/v1/sources").json()}
    assert (told["flickr"]["key"], told["flickr"]["key_is_set"], told["flickr"]["searched"]) == (True, False, True)
    assert told["website"]["searched"] is False
    assert told["met"]["licence"] == "cc0"
    with served.anonymous() as nobody:
        assert nobody.get("/api/v1/sources").status_code == 401
