"""What supervisors, load balancers and Prometheus ask."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.config import Settings
from backend.db import libpq_url
from backend.models import Profile
from backend.models.enums import Role
from backend.services.access import Scope
from tests.api.following import following
from tests.api.helpers import Jobs
from tests.api.world import give_key
from tests.postgres import Server, embedded_server
from tests.services.helpers import downloaded
from tests.serving import Served, serving


@pytest.fixture
def alone(embedded: Server, tmp_path: Path) -> Iterator[Served]:
    """A service that may be damaged."""
    with embedded.migrated() as url, serving(Settings(home=tmp_path / "home", database_url=url), url) as running:
        yield running


def test_alive_and_ready(served: Served) -> None:
    with served.anonymous() as nobody:
        assert nobody.get("/health/live").json() == {"status": "ok"}
        answer = nobody.get("/health/ready")
    assert (answer.status_code, set(answer.json().values())) == (200, {"ok"})


def test_not_ready_with_an_older_schema(alone: Served) -> None:
    alone.run(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '001'")))
    with alone.anonymous() as nobody:
        answer = nobody.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["migration"].startswith("at 001, not ")


def test_not_ready_without_its_store(alone: Served) -> None:
    shutil.rmtree(alone.settings.home / "images")
    with alone.anonymous() as nobody:
        answer = nobody.get("/health/ready")
        assert (answer.status_code, answer.json()["store"]) == (503, "cannot be written to")
        (alone.settings.home / "images").write_text("a file where a folder should be")
        assert nobody.get("/health/ready").status_code == 503


def test_alive_but_not_ready_without_its_database(alone: Served) -> None:
    url = libpq_url(alone.database.url)
    name = alone.database.engine.url.database
    with psycopg.connect(url.replace(f"/{name}?", "/postgres?"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        with alone.anonymous() as nobody:
            answer = nobody.get("/health/ready")
            assert (answer.status_code, answer.json()["database"]) == (503, "does not answer")
            assert nobody.get("/health/live").status_code == 200
            admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true".encode())
            assert nobody.get("/health/ready").status_code == 200


def test_a_database_that_goes_away_is_503_everywhere_until_it_is_back(tmp_path: Path) -> None:
    with (
        embedded_server() as server,
        server.migrated() as url,
        serving(Settings(home=tmp_path / "home", database_url=url), url) as running,
        running.browser(running.person(Role.ADMIN)) as client,
    ):
        made = {"name": "Birds"}
        assert client.post("/api/v1/projects", json=made).status_code == 201
        with server.stopped():
            for _ in range(2):  # over connections that were open, and over new ones
                answers = [client.get(path) for path in ("/api/v1/projects", "/metrics", "/api/v1/crawl-jobs/1/events")]
                answers.append(client.post("/api/v1/projects", json=made))
                for answer in answers:
                    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), answer.text
                    assert answer.json()["code"] == "database_unavailable"
            page = client.get("/", headers={"Accept": "text/html"})
            assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
            assert "The database does not answer just now." in page.text
        assert client.post("/api/v1/projects", json=made).status_code == 201
        assert client.get("/metrics").status_code == 200


def test_a_statement_that_fails_is_no_database_that_is_away(alone: Served) -> None:
    with alone.browser(alone.person()) as client:
        alone.run(lambda session: session.execute(text("ALTER TABLE projects RENAME COLUMN name TO other")))
        answer = client.get("/api/v1/projects")
    assert (answer.status_code, answer.json()["code"]) == (500, "error")


def samples(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """By name and values of labels."""
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_figures(served: Served, tmp_path: Path) -> None:
    person, admin = served.person(), served.person(Role.ADMIN)
    jobs = Jobs.of(served, person, tmp_path)
    with served.browser(admin) as watching, served.browser(person) as me:
        before = samples(watching)
        job, [chunk] = jobs.do(jobs.place.started())
        held = jobs.do(jobs.place.claim(chunk))
        jobs.do(jobs.place.record(held, [downloaded("a"), downloaded("b")]))
        assert me.get("/nothing/here").status_code == 404
        me.get(f"/api/v1/crawl-jobs/{job.id}/progress")
        with following(me, job.id) as follower:
            follower.until(lambda it: it.events)
            after = samples(watching)

    def grown(*name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grown("gleanset_jobs", "crawl", "running") == 1
    assert grown("gleanset_queue_tasks", "todo") == 1
    assert (grown("gleanset_images"), grown("gleanset_image_bytes")) == (2, 100_000)
    assert after["gleanset_followers",] == 1
    assert after["gleanset_workers",] == 0
    route = "/api/v1/crawl-jobs/{crawl_job_id}/progress"
    assert grown("gleanset_requests_total", "GET", route, "200") == 1
    assert grown("gleanset_request_seconds_count", "GET", route) == 1
    assert grown("gleanset_requests_total", "GET", "none", "404") == 1


def test_figures_are_for_admins_by_a_key_too(served: Served, me: httpx.Client) -> None:
    assert me.get("/metrics", headers={"Accept": "text/plain"}).status_code == 403
    admin = served.person(Role.ADMIN)

    async def key(session: AsyncSession) -> str:
        return await give_key(session, await session.get_one(Profile, admin), Scope.READ)

    with served.anonymous(headers={"Authorization": f"Bearer {served.run(key)}"}) as prometheus:
        assert prometheus.get("/metrics").status_code == 200
