"""Crawl jobs by the API: refused, made, started, planned by a real worker, cancelled, tried again, deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import ActivityLog, CrawlJob
from tests.api.working import ended, trust_loopback, until, worker
from tests.serving import Served
from tests.web import PictureWeb, expected

NUMBERS = [number for number in range(1, 13) if expected(number) is None]


def project_of(client: httpx.Client) -> int:
    return client.post("/api/v1/projects", json={"name": "Birds"}).json()["id"]


def asked_for(client: httpx.Client, **fields: Any) -> httpx.Response:
    body = {"project_id": project_of(client), "name": "Terns", "keywords": ["tern"]} | fields
    return client.post("/api/v1/crawl-jobs", json=body)


def made(client: httpx.Client, **fields: Any) -> str:
    """The path of a new job."""
    answer = asked_for(client, **fields)
    assert answer.status_code == 201, answer.text
    return f"/api/v1/crawl-jobs/{answer.json()['id']}"


def number_of(path: str) -> int:
    return int(path.rpartition("/")[2])


@pytest.fixture
def site() -> Iterator[PictureWeb]:
    """A page with pictures that can be had."""
    pictures = "".join(f'<img src="/{number}.jpg" width=400 height=300>' for number in NUMBERS)
    web = PictureWeb(pages={"/birds.html": f"<html><title>Birds</title><body>{pictures}</body></html>"})
    with web.served():
        yield web


def site_job(served: Served, client: httpx.Client, web: PictureWeb, **fields: Any) -> str:
    website = {"url": f"{web.url}/birds.html", "depth": 0, "label": "birds"}
    path = made(client, keywords=[], options={"websites": [website], "export": {}}, **fields)
    trust_loopback(served, number_of(path))
    return path


def actions(served: Served, path: str) -> list[str]:
    async def read(session: AsyncSession) -> list[str]:
        query = select(ActivityLog.action).filter_by(resource_type="crawl_jobs", resource_id=str(number_of(path)))
        return list(await session.scalars(query.order_by(ActivityLog.id)))

    return served.run(read)


def test_a_job_is_made_shown_changed_and_listed(me: httpx.Client, other: httpx.Client) -> None:
    path = made(me, keywords={"birds": ["tern", "gull"]}, options={"licences": ["cc0"], "rules": {"min_width": "64"}})
    job = me.get(path).json()
    assert (job["status"], job["task_ids"], job["max_images"]) == ("pending", [], 1000)
    assert job["options"]["sources"] == ["openverse"]
    assert (job["options"]["licences"], job["options"]["rules"]) == (["cc0"], {"min_width": 64})
    assert me.patch(path, json={"name": "Gulls", "max_images": 5}).json() | {"updated_at": 0} == job | {
        "name": "Gulls", "max_images": 5, "updated_at": 0,
    }  # fmt: skip
    assert [found["id"] for found in me.get("/api/v1/crawl-jobs").json()["items"]] == [job["id"]]
    assert me.get("/api/v1/crawl-jobs", params={"project_id": job["project_id"], "status": "pending"}).json()["items"]
    assert me.get("/api/v1/crawl-jobs", params={"status": "running"}).json()["items"] == []
    assert me.get("/api/v1/crawl-jobs", params={"project_id": project_of(me)}).json()["items"] == []
    assert me.get(f"{path}/chunks").json() == {"items": [], "next": None}
    for answer in (
        other.get(path),
        other.patch(path, json={"name": "x"}),
        other.delete(path),
        other.post(f"{path}/start"),
    ):
        assert answer.status_code == 404
    assert other.get("/api/v1/crawl-jobs").json()["items"] == []
    assert me.get(f"/api/v1/crawl-jobs/{10**30}").status_code in {404, 422}
    assert me.patch(path, json={"name": None}).status_code == 422


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"options": {"folders": [{"path": "/etc"}]}}, "body.options.folders"),
        ({"options": {"allow_private": True}}, "body.options.allow_private"),
        ({"options": {"own_hosts": ["example.org"]}}, "body.options.own_hosts"),
        ({"options": {"overrides": {"hosts": {}}}}, "body.options.overrides"),
        ({"options": {"refresh_of": 1}}, "body.options.refresh_of"),
        ({"options": {"export": {"out": "/etc/passwd"}}}, "body.options.export.out"),
        ({"options": {"export": {"format": "exe"}}}, "body.options.export.format"),
        ({"options": {"export": {}, "rules": None}}, "body.options.rules"),
        ({"options": {"lists": [{"path": "/etc/passwd"}]}}, "body.options.lists.0.path"),
        ({"options": {"lists": [{"url": "/etc/passwd"}]}}, "body.options.lists.0.url"),
        ({"options": {"lists": [{"url": "s3://bucket/list.csv"}]}}, "body.options.lists.0.url"),
        ({"options": {"lists": [{"url": "http://example.org/list.csv"}]}}, "body.options.lists.0.url"),
        ({"options": {"lists": [{"url": "https://me:secret@example.org/list.csv"}]}}, "body.options.lists.0.url"),
        ({"options": {"lists": [{}]}}, "body.options.lists.0"),
        ({"options": {"lists": [{"key": "../secret"}]}}, "body.options.lists.0.key"),
        ({"options": {"lists": [{"key": f"ab/{'ab' * 32}.jpg"}]}}, "body.options.lists.0.key"),
        ({"options": {"lists": [{"key": f"lists/{'0' * 64}.csv"}]}}, "body.options.lists.0.key"),
        ({"options": {"websites": [{"url": "file:///etc/passwd"}]}}, "body.options.websites.0.url"),
        ({"options": {"websites": [{"url": "https://example.org", "depth": 99}]}}, "body.options.websites.0.depth"),
        ({"options": {"sources": ["folder"]}}, "body.options.sources.0"),
        ({"options": {"sources": ["gogle"]}}, "body.options.sources.0"),
        ({"options": {"licences": ["mine"]}}, "body.options.licences"),
        ({"options": {"rules": {"min_widht": 5}}}, "body.options.rules.min_widht"),
        ({"options": {"resize": 1}}, "body.options.resize"),
        ({"options": {"keep_original": True}}, "body.options.resize"),
        ({"keywords": []}, "body.keywords"),
        ({"keywords": [f"k{n}" for n in range(1001)]}, "body.keywords"),
        ({"project_id": 10**30}, "body.project_id"),
        ({"max_images": 0}, "body.max_images"),
    ],
)  # fmt: skip
def test_what_a_user_must_not_ask_for_is_refused_by_its_path(
    me: httpx.Client, fields: dict[str, Any], where: str
) -> None:
    answer = asked_for(me, **fields)
    assert answer.status_code == 422
    assert where in answer.json()["details"]["fields"]
    assert me.get("/api/v1/crawl-jobs").json()["items"] == []


def test_a_source_without_its_key_is_refused(me: httpx.Client) -> None:
    answer = asked_for(me, options={"sources": ["flickr"]})
    assert answer.status_code == 422
    assert "GLEANSET_SOURCE_KEYS" in answer.json()["message"]


def test_a_started_job_is_planned_gathered_judged_and_packed(
    served: Served, me: httpx.Client, site: PictureWeb
) -> None:
    path = site_job(served, me, site)
    started = me.post(f"{path}/start")
    assert (started.status_code, started.json()["status"], len(started.json()["task_ids"])) == (202, "pending", 1)
    again = me.post(f"{path}/start")
    assert (again.status_code, again.json()["details"]) == (409, {"current": "pending"})
    assert me.patch(path, json={"max_images": 7}).status_code == 409
    with worker(served):
        job = ended(me, path)
        assert (job["status"], job["downloaded_images"], job["error_message"]) == ("completed", len(NUMBERS), None)
        until(lambda: me.get(path).json()["valid_images"] == len(NUMBERS))
        exports = until(lambda: served.run(packed))
    assert len(exports) == 1
    [chunk] = me.get(f"{path}/chunks").json()["items"]
    assert (chunk["source"], chunk["label"], chunk["status"]) == ("website", "birds", "completed")
    assert chunk["downloaded_images"] == len(NUMBERS)
    assert actions(served, path) == [
        "crawl_job.created", "crawl_job.started", "crawl_job.running", "crawl_job.completed",
    ]  # fmt: skip
    for verb in ("start", "retry", "cancel"):
        answer = me.post(f"{path}/{verb}")
        assert (answer.status_code, answer.json()["details"]) == (409, {"current": "completed"})


async def packed(session: AsyncSession) -> list[Any]:
    return list(await session.scalars(text("SELECT id FROM export_jobs WHERE status = 'completed'")))


def test_a_job_that_cannot_be_planned_fails_with_a_sentence(served: Served, me: httpx.Client) -> None:
    lists = [{"url": "https://127.0.0.1:1/list.csv"}]  # a private address, which the guard refuses
    path = made(me, keywords=[], options={"lists": lists})
    me.post(f"{path}/start")
    with worker(served):
        job = ended(me, path)
    assert job["status"] == "failed"
    assert "https://127.0.0.1:1/list.csv cannot be fetched" in job["error_message"]
    assert actions(served, path)[-2:] == ["crawl_job.running", "crawl_job.failed"]
    again = me.post(f"{path}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "pending")


def test_a_job_that_waits_is_cancelled_and_taken_up_again(served: Served, me: httpx.Client, site: PictureWeb) -> None:
    path = site_job(served, me, site)
    me.post(f"{path}/start")
    assert me.post(f"{path}/cancel").json()["status"] == "cancelled"
    assert served.run(waiting(path)) == []
    assert me.post(f"{path}/start").json()["details"] == {"current": "cancelled"}
    assert me.post(f"{path}/retry").json()["status"] == "pending"
    assert len(served.run(waiting(path))) == 1
    with worker(served):
        job = ended(me, path)
    assert (job["status"], job["downloaded_images"], job["total_chunks"]) == ("completed", len(NUMBERS), 1)


def waiting(path: str) -> Callable[[AsyncSession], Any]:
    async def read(session: AsyncSession) -> list[int]:
        query = text("SELECT id FROM procrastinate_jobs WHERE queue_name = :q AND status IN ('todo', 'doing')")
        return list(await session.scalars(query, {"q": f"job-{number_of(path)}"}))

    return read


def test_a_running_job_is_cancelled_and_goes_on_where_it_stopped(
    served: Served, me: httpx.Client, site: PictureWeb
) -> None:
    site.delay = 0.3
    path = site_job(served, me, site)
    me.post(f"{path}/start")
    with worker(served, GLEANSET_WINDOW="1", GLEANSET_BATCH="1"):
        until(lambda: me.get(path).json()["downloaded_images"] >= 2)
        assert me.delete(path).json()["details"] == {"current": "running"}
        stopped = me.post(f"{path}/cancel").json()
        assert stopped["status"] == "cancelled"
        site.delay = 0.0
        assert me.post(f"{path}/retry").json()["status"] == "running"
        job = ended(me, path)
    assert (job["status"], job["downloaded_images"]) == ("completed", len(NUMBERS))


def test_a_worker_that_is_killed_while_it_plans_neither_loses_nor_doubles_the_job(
    served: Served, me: httpx.Client, site: PictureWeb
) -> None:
    site.pages["/list.txt"] = "".join(f"{site.url}/{number}.jpg\n" for number in NUMBERS)
    site.page_delay = 2.0  # so long the list takes, which is copied before the job can be planned
    path = made(me, keywords=[], options={"lists": [{"url": "https://example.org/list.txt"}]})
    trust_loopback(served, number_of(path), lists=[{"path": f"{site.url}/list.txt"}])
    me.post(f"{path}/start")
    for fetches in (1, 2):
        with worker(served) as process:
            until(lambda n=fetches: site.asked["/list.txt"] == n)
            assert process.poll() is None
    assert me.get(path).json()["status"] == "pending"
    site.page_delay = 0.0
    with worker(served), worker(served):
        job = ended(me, path)
    assert (job["status"], job["downloaded_images"], job["total_chunks"]) == ("completed", len(NUMBERS), 1)
    assert job["total_images"] == len(NUMBERS)
    assert actions(served, path).count("crawl_job.running") == 1


def test_a_job_that_is_cancelled_while_it_is_planned_does_not_start(
    served: Served, me: httpx.Client, site: PictureWeb
) -> None:
    site.pages["/list.txt"] = f"{site.url}/1.jpg\n"
    site.page_delay = 2.0
    path = made(me, keywords=[], options={"lists": [{"url": "https://example.org/list.txt"}]})
    trust_loopback(served, number_of(path), lists=[{"path": f"{site.url}/list.txt"}])
    me.post(f"{path}/start")
    with worker(served):
        until(lambda: site.asked["/list.txt"] == 1)
        assert me.post(f"{path}/cancel").json()["status"] == "cancelled"
        until(lambda: served.run(waiting(path)) == [])
    assert me.get(path).json()["status"] == "cancelled"
    assert "crawl_job.running" not in actions(served, path)


def test_a_refresh_is_a_job_of_its_own(served: Served, me: httpx.Client, site: PictureWeb) -> None:
    path = made(me)
    placed = {"format": "zip", "container": "tar", "out": "s3://bucket/birds.tar"}
    assert me.post(f"{path}/refresh", json={}).json()["details"] == {"current": "pending"}
    old = site_job(served, me, site)
    me.post(f"{old}/start")
    with worker(served):
        ended(me, old)
        refused = me.post(f"{old}/refresh", json={})  # made with private addresses, as only the command line may
        assert refused.status_code == 422
        trust_loopback(served, number_of(old), allow_private=False, own_hosts=[], export=placed)
        answer = me.post(f"{old}/refresh", json={"name": "Again"}, headers={"Idempotency-Key": "again"})
        assert answer.status_code == 201
        twin = me.post(f"{old}/refresh", json={"name": "Again"}, headers={"Idempotency-Key": "again"})
        assert twin.json()["id"] == answer.json()["id"]
        job = ended(me, f"/api/v1/crawl-jobs/{answer.json()['id']}")
    assert (job["name"], job["options"]["refresh_of"]) == ("Again", number_of(old))
    assert job["total_chunks"] == 2
    plan = served.run(lambda session: session.get_one(CrawlJob, job["id"])).options["export"]
    assert (plan["format"], plan.get("out"), plan.get("container")) == ("zip", None, None)


def test_a_job_that_is_not_under_way_is_deleted(served: Served, me: httpx.Client, site: PictureWeb) -> None:
    draft = made(me)
    assert me.delete(draft).status_code == 204, "nobody has started it"
    assert me.get(draft).status_code == 404
    path = made(me)
    me.post(f"{path}/start")
    assert me.delete(path).json()["details"] == {"current": "pending"}
    me.post(f"{path}/cancel")
    assert me.delete(path).status_code == 204
    assert me.get(path).status_code == 404
    assert actions(served, path)[-1] == "crawl_job.deleted"
