"""How much one person may gather: told with the figures, and not passed by starting several jobs at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from backend import queue
from backend.config import Settings
from backend.models import CrawlChunk, CrawlJob, ExportJob, ValidationJob
from backend.services import deleted_projects, retention
from tests.api.gathered import gathered
from tests.postgres import Server
from tests.services.helpers import downloaded
from tests.serving import Served, serving

JOBS = "/api/v1/crawl-jobs"


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Everybody may have two jobs under way, 100 images and a megabyte."""
    home: Path = tmp_path_factory.mktemp("home")
    limits = {"max_running_jobs": 2, "max_images_per_user": 100, "max_bytes_per_user": 1_000_000}
    with embedded.migrated() as url, serving(Settings(home=home, database_url=url, **limits), url) as running:
        yield running


def asked(client: httpx.Client, images: int) -> httpx.Response:
    project = client.post("/api/v1/projects", json={"name": "Birds"}).json()["id"]
    body = {"project_id": project, "name": "Terns", "keywords": ["tern"], "max_images": images}
    return client.post(JOBS, json=body)


def made(client: httpx.Client, images: int = 10) -> str:
    return f"{JOBS}/{asked(client, images).json()['id']}"


def test_no_more_jobs_than_allowed_are_under_way(me: httpx.Client, other: httpx.Client) -> None:
    first, second, third = made(me), made(me), made(me)
    assert me.post(f"{first}/start").status_code == me.post(f"{second}/start").status_code == 202
    answer = me.post(f"{third}/start")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert answer.json()["details"] == {"allowed": 2, "had": 2, "retry_after": 60}
    assert "2 jobs are under way, and 2 may be at once" in answer.json()["message"]
    assert other.post(f"{made(other)}/start").status_code == 202
    me.post(f"{first}/cancel")
    assert me.post(f"{third}/start").status_code == 202
    assert me.post(f"{first}/retry").status_code == 429


def test_what_follows_a_crawl_counts_too(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, [downloaded("f")], max_images=10)
    judged, packed = {"crawl_job_id": job_id}, {"crawl_job_id": job_id, "name": "E", "format": "zip"}
    export = me.post("/api/v1/export-jobs", json=packed).json()["id"]
    assert me.post("/api/v1/validation-jobs", json=judged).status_code == 201
    for path, body in (("export-jobs", packed), ("validation-jobs", judged)):
        answer = me.post(f"/api/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["details"]) == (429, {"allowed": 2, "had": 2, "retry_after": 60})
    assert me.post(f"{made(me)}/start").status_code == 429
    shown = me.post(f"/jobs/{job_id}/validation", follow_redirects=True)
    assert "2 jobs are under way" in shown.text
    use = me.get("/api/v1/profile").json()["use"]
    assert use["running_jobs"] == {"had": 2, "allowed": 2}
    assert use["images"] == {"had": 1, "allowed": 100}
    assert "2 of 2" in me.get("/account").text
    me.post(f"/api/v1/export-jobs/{export}/cancel")
    assert me.post("/api/v1/validation-jobs", json=judged).status_code == 201
    assert me.post(f"/api/v1/export-jobs/{export}/retry").status_code == 429


def test_bytes_of_exports_count_until_they_expire(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, [downloaded("g")], max_images=10)
    export = me.post("/api/v1/export-jobs", json={"crawl_job_id": job_id, "name": "E", "format": "zip"}).json()["id"]

    async def change(session: AsyncSession, **values: object) -> None:
        await session.execute(update(ExportJob).filter_by(id=export).values(values))

    served.run(lambda session: change(session, status="completed", file_size=1_000_000, download_url="file:///e.zip"))
    assert me.get("/api/v1/profile").json()["use"]["bytes"] == {"had": 1_000_000, "allowed": 1_000_000}
    again = {"crawl_job_id": job_id, "name": "E", "format": "zip"}
    assert me.post("/api/v1/export-jobs", json=again).status_code == 403
    assert asked(me, 1).status_code == 403
    served.run(lambda session: change(session, download_url=None))
    assert me.post("/api/v1/export-jobs", json=again).status_code == 201


def test_images_that_are_asked_for_count(served: Served, me: httpx.Client) -> None:
    answer = asked(me, 101)
    assert (answer.status_code, answer.json()["details"]) == (403, {"allowed": 100, "had": 0, "asked": 101})
    gathered(served, me, [downloaded(f"i{n}") for n in range(30)], max_images=30)
    assert "Ask for 70 at most" in asked(me, 71).json()["message"]
    first, second = made(me, 60), made(me, 60)
    assert me.post(f"{first}/start").status_code == 202
    answer = me.post(f"{second}/start")
    assert (answer.status_code, answer.json()["details"]) == (403, {"allowed": 100, "had": 90, "asked": 60})
    assert me.patch(second, json={"max_images": 10}).status_code == 200
    assert me.post(f"{second}/start").status_code == 202


def test_jobs_started_at_once_do_not_pass_a_limit_together(served: Served, me: httpx.Client) -> None:
    paths = [made(me) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda path: me.post(f"{path}/start").status_code, paths))
    assert sorted(answers) == [202, 202, *[429] * 8]


def test_a_deleted_project_leaves_nothing_under_way_and_counts_until_it_is_gone(
    served: Served, me: httpx.Client
) -> None:
    running, waiting = made(me, 90), gathered(served, me, [downloaded(f"d{n}") for n in range(10)], max_images=10)
    assert me.post(f"{running}/start").status_code == 202
    judging = me.post("/api/v1/validation-jobs", json={"crawl_job_id": waiting})
    assert judging.status_code == 201
    assert asked(me, 1).status_code == 403
    for path in (running, f"{JOBS}/{waiting}"):
        project = me.get(path).json()["project_id"]
        assert me.delete(f"/api/v1/projects/{project}").status_code == 200
        assert me.get(path).status_code == 404

    async def states(session: AsyncSession) -> list[str]:
        crawl = await session.get_one(CrawlJob, int(running.rpartition("/")[2]))
        judged = await session.get_one(ValidationJob, judging.json()["id"])
        return [crawl.status, judged.status, (await session.get_one(CrawlJob, waiting)).status]

    assert served.run(states) == ["cancelled", "cancelled", "completed"]
    assert not served.run(lambda session: queue.has_tasks(session, int(running.rpartition("/")[2])))
    answer = asked(me, 91)
    assert (answer.status_code, answer.json()["details"]) == (403, {"allowed": 100, "had": 10, "asked": 91})
    assert "deleted projects count until" in answer.json()["message"]
    served.run(lambda session: deleted_projects.give_up(session, project, None))
    assert served.do(retention.purge(served.settings, served.database, project)) == ""
    assert me.post(f"{made(me, 100)}/start").status_code == 202


def test_the_bytes_of_a_deleted_project_count(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, [], max_images=10)

    async def fill(session: AsyncSession) -> int:
        session.add(CrawlChunk(crawl_job_id=job_id, position=0, source="urls", label="x", bytes=1_000_000))
        return (await session.get_one(CrawlJob, job_id)).project_id

    assert me.delete(f"/api/v1/projects/{served.run(fill)}").json()["bytes"] == 1_000_000
    assert asked(me, 1).json()["details"] == {"allowed": 1_000_000, "had": 1_000_000}


def test_who_has_all_the_bytes_starts_no_more(served: Served, me: httpx.Client) -> None:
    path = made(me)
    job_id = gathered(served, me, [], max_images=10)

    async def fill(session: AsyncSession) -> None:
        session.add(CrawlChunk(crawl_job_id=job_id, position=0, source="urls", label="x", bytes=1_000_000))

    served.run(fill)
    answer = me.post(f"{path}/start")
    assert (answer.status_code, answer.json()["details"]) == (403, {"allowed": 1_000_000, "had": 1_000_000})
    assert asked(me, 1).status_code == 403
    assert me.delete(f"{JOBS}/{job_id}").status_code == 204
    assert me.post(f"{path}/start").status_code == 202
