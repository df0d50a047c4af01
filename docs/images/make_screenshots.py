"""Takes `docs/images/web-*.png`: every page, light and dark, in Debian's Chromium. Called by `make screenshots`.

The application runs with data of a real crawl of the demo's web, in a folder and a database of its own.
"""

from __future__ import annotations

import re
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

sys.path.insert(0, str(Path(__file__).parents[2]))

from backend.config import Settings
from backend.models import Image as ImageRow
from backend.models import Project
from backend.models.enums import ProjectStatus, Role
from backend.schemas.projects import ProjectUpdate
from backend.services import identity, projects
from tests.browser import chromium, opened
from tests.demo import allow_loopback, demo_web, demo_worker
from tests.postgres import embedded_server
from tests.serving import serving
from tests.ways import FOR_ANYBODY, PICTURES, UNDER_WAY

PLACE = Path(__file__).parent
WIDTH, HEIGHT, LONGEST = 1280, 800, 1400
LARGEST = 150_000
_WAIT = 120_000


def take(page: Page, name: str) -> None:
    """The window, or the whole page as far as it is of use, in few colours: pages are flat."""
    tall = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": max(HEIGHT, min(tall, LONGEST))})
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(200)  # pictures are decoded and painted
    with Image.open(BytesIO(page.screenshot())) as shot:
        picture = shot.convert("RGB")
    for colours in (256, 128, 64, 32):
        file = PLACE / f"web-{name}.png"
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
        if file.stat().st_size < LARGEST:
            return
    raise SystemExit(f"{file} is {file.stat().st_size:,} bytes long")


def fill(page: Page, keywords: list[str]) -> tuple[int, int]:
    """A project and a crawl of the demo, as a person makes them; their numbers."""
    page.goto("/projects/new")
    page.get_by_label("Name").fill("Harbour")
    page.get_by_label("Description").fill("Drawings of a harbour and of what is around it.")
    page.get_by_role("button", name="Make the project").click()
    project = int(urlsplit(page.url).path.split("/")[2])
    page.goto(f"/projects/{project}/new")
    page.get_by_label("Name of the crawl").fill("Everything around the harbour")
    page.get_by_label("Keywords").fill("\n".join(keywords))
    page.get_by_role("button", name="Start the crawl").click()
    return project, int(urlsplit(page.url).path.split("/")[2])


def open_and_take(page: Page, path: str, name: str) -> None:
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    answer = page.goto(path)
    if answer is None or answer.status != 200:
        raise SystemExit(f"{path} answers with status {answer and answer.status}, and so there is no picture {name}.")
    take(page, name)


async def numbers(session: AsyncSession, project: int, job: int) -> dict[str, object]:
    """What stands in the addresses of pages; and a project that is deleted."""
    shown = select(ImageRow.id).where(ImageRow.crawl_job_id == job, ImageRow.outcome == "downloaded")
    owner = (await session.get_one(Project, project)).user_id
    gone = Project(name="Harbour, first try", user_id=owner)
    session.add(gone)
    await session.flush()
    await projects.update(session, gone, ProjectUpdate(status=ProjectStatus.DELETED), owner)
    image, token = await session.scalar(shown.order_by(ImageRow.id).limit(1)), await identity.new_link(session, owner)
    return {"project_id": project, "job_id": job, "image_id": image, "token": token}


def main() -> None:
    with (
        embedded_server() as server,
        server.migrated() as url,
        tempfile.TemporaryDirectory() as home,
        demo_web() as web,
        serving(Settings(home=Path(home), database_url=url, accounts="team"), url) as served,
        chromium() as browser,
    ):
        context, visit = opened(browser, served, served.person(Role.ADMIN))
        page = visit.page
        project, job = fill(page, web.keywords)
        allow_loopback(served, job)
        with demo_worker(served, web):
            downloaded = page.locator("[data-field='crawl_job.downloaded_images']").first
            expect(downloaded).to_have_text(re.compile(r"^(1[2-9]|[23]\d)\d$"), timeout=_WAIT)
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                take(page, f"{UNDER_WAY}-{theme}")
            expect(page.locator("[data-state='export_job.status']")).to_have_text("completed", timeout=_WAIT)
            page.goto(f"/jobs/{job}/validation?preset=standard")
            page.get_by_role("button", name="Judge the images").click()
            judged = page.get_by_role("row", name=re.compile("standard"))
            expect(judged.get_by_text("completed")).to_be_visible(timeout=_WAIT)
        values = served.run(lambda session: numbers(session, project, job))
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            for route, name in PICTURES.items():
                if route not in FOR_ANYBODY:
                    open_and_take(page, route.format(**values), f"{name}-{theme}")
        context.clear_cookies()
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            for route in sorted(FOR_ANYBODY):
                open_and_take(page, route.format(**values), f"{PICTURES[route]}-{theme}")
        context.close()


if __name__ == "__main__":
    main()
