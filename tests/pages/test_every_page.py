"""Every page of the application in Chromium: accessible, no wider than its window, and whole without JavaScript."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy.ext.asyncio import AsyncSession

from backend.app import create_app
from backend.config import Settings
from backend.db import Database
from backend.http.access import endpoints
from backend.models import ExportJob, Project, Takedown
from backend.models.enums import Choice, Role
from backend.schemas.plans import CrawlPlan
from backend.services import crawl_jobs, decisions, identity
from gleanset.types import Query
from tests.api.albums import Gathered, gathered, picture
from tests.browser import Visit, chromium, opened
from tests.postgres import Server
from tests.serving import Served, serving
from tests.ways import FOR_ANYBODY, PICTURES, UNDER_WAY, WAYS

LONG = "Schifffahrtsgesellschaft" * 4
"""A word that no line of a phone can hold."""
IMAGES = Path(__file__).parents[2] / "docs/images"
NO_PAGES = {"/health/live", "/health/ready", "/metrics"}
ROUTES = sorted(
    str(route.path)
    for route in endpoints(
        create_app(Settings(home=Path(tempfile.gettempdir())), Database("postgresql+psycopg://nowhere/none"))
    )
    if "GET" in (route.methods or ()) and not str(route.path).startswith("/api/") and route.path not in NO_PAGES
)
ONLY_WITH_SCRIPTS = re.compile(
    r"← → move, x select|^Select all on this page$|^\d+ labels?, \d+ keywords?$|^would refuse \d+$|^[\d hmins]+$"
)
"""Keys to press, a box for all boxes, counts while one types (without scripts they stand below the rules), and how long
something goes on."""
MINUTE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")


@pytest.fixture(scope="module")
def served(embedded: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For a team, which has all pages."""
    home = tmp_path_factory.mktemp("home")
    with embedded.migrated() as url, serving(Settings(home=home, database_url=url, accounts="team"), url) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def job(served: Served) -> Gathered:
    """Somebody's who may see all pages: judged twice, decided on, packed; with copies, and with long words all over."""
    user_id = served.person(Role.ADMIN)

    async def project(session: AsyncSession) -> int:
        session.add(made := Project(name=LONG, description=LONG * 3, user_id=user_id))
        await session.flush()
        return made.id

    names = {"label": LONG, "title": LONG, "creator": LONG, "url": f"https://example.org/{LONG * 4}"}
    files = [
        picture("china", 320),
        picture("china", 480),
        picture("china", 320),
        *(picture("flower", n) for n in (64, 200)),
    ]
    made = gathered(
        served,
        user_id,
        files,
        project_id=served.run(project),
        fields=lambda n: names | {"url": f"{names['url']}/{n}.jpg"} if n % 2 else {},
    )
    made.validate(near_duplicate_distance=31)
    made.validate(min_width=100, keep_duplicates=True)
    made.validate(near_duplicate_distance=31, min_width=300)

    async def fill(session: AsyncSession) -> None:
        owner = await session.get_one(Project, made.project_id)
        await decisions.decide(session, owner, made.images[:1], Choice.KEEP, why=LONG, user_id=user_id)
        job = ExportJob(crawl_job_id=made.job_id, user_id=user_id, name=LONG, splits={"train": 3, "test": 1})
        session.add(Takedown(url=f"https://example.org/{LONG * 4}", note=LONG, user_id=user_id))
        job.status, job.error_message = "failed", f"{LONG} {LONG}"
        session.add(job)
        for begun in (None, datetime.now(UTC)):
            gone = {"status": "deleted", "deleted_at": datetime.now(UTC), "purge_began_at": begun}
            session.add(Project(name=LONG, user_id=user_id, **gone))

    served.run(fill)
    return made


@pytest.fixture(scope="module")
def begun(served: Served, job: Gathered) -> int:
    """A job that has been started and has no image yet."""

    async def start(session: AsyncSession) -> int:
        owner = await session.get_one(Project, job.project_id)
        made = await crawl_jobs.create(session, owner, "Begun", ["cat"], CrawlPlan(), 1000, user_id=owner.user_id)
        await crawl_jobs.start(session, made.id, [Query(source="openverse", label="cat", keyword="cat")], user_id=None)
        return made.id

    return served.run(start)


def paths_of(route: str, served: Served, job: Gathered, begun: int) -> list[str]:
    """Addresses of the page: of what is full, and of what has just begun."""
    values = {"project_id": job.project_id, "image_id": job.images[0], "job_id": job.job_id}
    if "{token}" in route:
        values["token"] = served.run(lambda session: identity.new_link(session, job.user_id))
    paths = [route.format(**values) + way for way in WAYS[route]]
    return [*paths, route.format(job_id=begun)] if "{job_id}" in route else paths


@contextmanager
def windows(browser: Browser, served: Served, user_id: UUID, route: str, **options: bool) -> Iterator[Visit]:
    context, visit = opened(browser, served, None if route in FOR_ANYBODY else user_id, **options)
    with context:
        yield visit
    assert visit.complaints == []


def test_every_page_is_entered_and_has_its_pictures_in_both_themes() -> None:
    assert sorted(WAYS) == sorted(PICTURES) == ROUTES
    there = {file.name for file in IMAGES.glob("web-*.png")}
    wanted = (*PICTURES.values(), UNDER_WAY)
    assert there == {f"web-{name}-{theme}.png" for name in wanted for theme in ("light", "dark")}


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_is_accessible_and_as_wide_as_its_window(
    browser: Browser, served: Served, job: Gathered, begun: int, route: str
) -> None:
    """From a phone to a wall, light and dark: it is loaded once, and its window changed."""
    with windows(browser, served, job.user_id, route) as visit:
        for path in paths_of(route, served, job, begun):
            answer = visit.page.goto(path)
            assert answer is not None
            assert answer.status == 200, path
            expect(visit.page.locator("h1")).to_be_visible()
            for details in visit.page.locator("main details").all()[:3]:
                details.evaluate("each => { each.open = true }")
            for width in (360, 1280, 2560):
                visit.page.set_viewport_size({"width": width, "height": 900})
                for theme in ("light", "dark"):
                    visit.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                    visit.accessible()


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_can_be_read_without_javascript(
    browser: Browser, served: Served, job: Gathered, begun: int, route: str
) -> None:
    """Every line that is there with scripts is there without; lists go on by a link."""
    for path in paths_of(route, served, job, begun):
        lines: list[list[str]] = []
        for scripts in (True, False):
            with windows(browser, served, job.user_id, route, scripts=scripts) as visit:
                visit.page.goto(path)  # to the end of its scripts, which are modules
                text = visit.page.locator("main").inner_text()
                told = MINUTE.sub("then", text).splitlines()  # each window logs in at its own
                lines.append([line for line in told if not ONLY_WITH_SCRIPTS.search(line)])
        assert [line for line in lines[0] if line not in lines[1]] == [], path


def test_an_error_is_accessible_too(browser: Browser, served: Served, job: Gathered) -> None:
    context, visit = opened(browser, served, job.user_id, width=360)
    with context:
        visit.page.goto("/nowhere")
        visit.accessible()
        visit.page.goto(f"/jobs/{job.job_id}/validation")
        visit.page.get_by_label("Width at least").fill("-5")
        visit.page.get_by_role("button", name="Judge the images").click()
        expect(visit.page.locator(".wrong")).to_be_visible()
        visit.accessible()


def test_a_page_that_follows_something_older_does_not_load_again_and_again(
    browser: Browser, served: Served, job: Gathered
) -> None:
    """The run has ended with its latest export, and an export that was asked for before goes on."""

    async def order(session: AsyncSession) -> None:
        for status in ("running", "completed"):
            session.add(ExportJob(crawl_job_id=other.job_id, user_id=job.user_id, name="Slow", status=status))
            await session.flush()

    other = gathered(served, job.user_id, [picture()])
    served.run(order)
    context, visit = opened(browser, served, job.user_id)
    with context:
        loads: list[str] = []
        visit.page.on("load", lambda page: loads.append(page.url))
        visit.page.goto(f"/jobs/{other.job_id}/exports")
        visit.page.wait_for_timeout(2000)
        assert len(loads) == 1
        visit.page.wait_for_timeout(3000)
        assert len(loads) == 2
    assert visit.complaints == []


def test_rules_are_counted_without_a_script(browser: Browser, served: Served, job: Gathered) -> None:
    context, visit = opened(browser, served, job.user_id, scripts=False)
    with context:
        page = visit.page
        page.goto(f"/jobs/{job.job_id}/validation?preset=lenient")
        page.get_by_label("Width at least").fill("100000")
        page.get_by_role("button", name="Count only").click()
        expect(page.locator("[data-verdict]")).to_have_text("0 of 5 images would be valid.")
        expect(page.get_by_text("min width would refuse 5")).to_be_visible()
        expect(page.get_by_label("Width at least")).to_have_value("100000")
