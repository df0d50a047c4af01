"""The activity log: one's own, others' for moderators, and all of what one may see."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob
from backend.models.enums import JobStatus, Role
from backend.services import activity, states
from backend.services.access import Actor
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
        asked = {"limit": 2, "action": "project."} | ({"cursor": cursor} if cursor else {})
        page = me.get(LOG, params=asked).json()
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


def test_it_is_narrowed_by_time(me: httpx.Client) -> None:
    me.post("/api/v1/projects", json={"name": "Early"})
    [early] = me.get("/api/v1/activity", params={"action": "project.created"}).json()["items"]
    me.post("/api/v1/projects", json={"name": "Late"})

    def named(**limits: str) -> list[str]:
        found = me.get("/api/v1/activity", params={"action": "project.created", **limits}).json()["items"]
        return [each["metadata_"]["name"] for each in found]

    when = early["timestamp"]
    assert (named(**{"from": when}), named(to=when)) == (["Late", "Early"], [])
    wrong = me.get("/api/v1/activity", params={"from": "2026-11-01"}).json()
    assert wrong["details"]["fields"].keys() == {"query.from"}


def test_what_workers_did_to_ones_own_is_told(served: Served, me: httpx.Client, other: httpx.Client) -> None:
    job_id = gathered(served, me, [])

    async def work(session: AsyncSession) -> None:
        job = await session.get_one(CrawlJob, job_id)
        job.status = "running"
        await states.move(session, job, JobStatus.FAILED, error="No answer.", user_id=None)

    served.run(work)
    about = {"resource_type": "crawl_jobs", "resource_id": job_id}
    told = [(entry["action"], entry["user_id"] is None) for entry in me.get(LOG, params=about).json()["items"]]
    assert told == [("crawl_job.failed", True), ("crawl_job.created", False)]
    assert other.get(LOG, params=about).status_code == 404
    assert me.get(LOG, params={"resource_id": job_id}).status_code == 422
    assert me.get(LOG, params=about | {"resource_type": "profiles"}).json()["items"] == []
    told = [entry["action"] for entry in me.get(LOG).json()["items"]]
    assert told[:3] == ["crawl_job.failed", "crawl_job.created", "project.created"], "also where nothing is asked for"
    assert [entry["action"] for entry in other.get(LOG).json()["items"]] == ["session.opened"]


def test_what_admins_changed_is_told_and_stays_when_the_thing_goes(served: Served, me: httpx.Client) -> None:
    mine = me.get("/api/v1/profile").json()["id"]
    job_id = gathered(served, me, [])
    with served.browser(served.person(Role.ADMIN)) as admin:
        who = admin.get("/api/v1/profile").json()["id"]
        admin.delete(f"/api/v1/crawl-jobs/{job_id}")
        project = admin.post("/api/v1/projects", json={"name": "Theirs"}).json()
    told = [(entry["action"], entry["user_id"]) for entry in me.get(LOG, params={"limit": 3}).json()["items"]]
    assert told[0] == ("crawl_job.deleted", who)
    assert told[1:] == [("crawl_job.created", mine), ("project.created", mine)]
    seen = me.get(LOG).json()["items"]
    assert project["id"] not in [entry["resource_id"] for entry in seen if entry["resource_type"] == "projects"]
    assert {entry["user_id"] for entry in me.get(LOG, params={"user_id": mine}).json()["items"]} == {mine}


def test_a_log_of_others_costs_nothing(served: Served, me: httpx.Client) -> None:
    """Who reads their own meets no row of others, however many there are."""
    mine, theirs = UUID(me.get("/api/v1/profile").json()["id"]), served.person()

    async def explain(session: AsyncSession) -> list[str]:
        rows = (
            "INSERT INTO activity_logs (action, user_id, owner_id) SELECT 'x', :who, :who FROM generate_series(1, :n)"
        )
        await session.execute(text(rows), {"who": theirs, "n": 20_000})
        await session.execute(text("ANALYZE activity_logs"))
        query, entry = await activity.entries(session, Actor(user_id=mine))
        query = query.order_by(entry.id.desc()).limit(51)
        sql = query.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
        return list(await session.scalars(text(f"EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF) {sql}")))

    plan = "\n".join(served.run(explain))
    assert "ix_activity_log_owner_id" in plan, plan
    assert "ix_activity_log_elsewhere" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Rows Removed by Filter" not in plan, plan


def test_moderators_read_everybodys(me: httpx.Client, other: httpx.Client, moderator: httpx.Client) -> None:
    me.post("/api/v1/projects", json={"name": "Mine"})
    other.post("/api/v1/projects", json={"name": "Theirs"})
    [mine, logged_in] = me.get(LOG).json()["items"]
    assert logged_in["action"] == "session.opened"
    everybodys = moderator.get(LOG, params={"action": "project.created"}).json()["items"]
    names = [entry["metadata_"]["name"] for entry in everybodys]
    assert {"Mine", "Theirs"} <= set(names)
    assert moderator.get(LOG, params={"user_id": mine["user_id"]}).json()["items"] == [mine, logged_in]
    assert other.get(LOG, params={"user_id": mine["user_id"]}).status_code == 403
    assert me.get(LOG, params={"user_id": mine["user_id"]}).json()["items"] == [mine, logged_in]


def test_the_sources_are_told_without_their_keys(served: Served, me: httpx.Client) -> None:
    told = {source["name"]: source for source in me.get("/api/v1/sources").json()}
    assert (told["flickr"]["key"], told["flickr"]["key_is_set"], told["flickr"]["searched"]) == (True, False, True)
    assert told["website"]["searched"] is False
    assert told["met"]["licence"] == "cc0"
    with served.anonymous() as nobody:
        assert nobody.get("/api/v1/sources").status_code == 401
