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

sys.path.insert(0, str(Path(__file__).parents[2]))

from backend.config import Settings
from backend.models.enums import Role
from tests.browser import chromium, opened
from tests.demo import allow_loopback, demo_web, demo_worker
from tests.postgres import embedded_server
from tests.serving import serving

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


def main() -> None:
    with (
        embedded_server() as server,
        server.migrated() as url,
        tempfile.TemporaryDirectory() as home,
        demo_web() as web,
        serving(Settings(home=Path(home), database_url=url), url) as served,
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
                take(page, f"running-{theme}")
            expect(page.locator("[data-state='export_job.status']")).to_have_text("completed", timeout=_WAIT)
            page.goto(f"/jobs/{job}/validation?preset=standard")
            page.get_by_role("button", name="Judge the images").click()
            judged = page.get_by_role("row", name=re.compile("standard"))
            expect(judged.get_by_text("completed")).to_be_visible(timeout=_WAIT)
        pages = {
            "projects": "/",
            "project": f"/projects/{project}",
            "new": f"/projects/{project}/new",
            "job": f"/jobs/{job}",
            "images": f"/jobs/{job}/images",
            "validation": f"/jobs/{job}/validation",
            "changes": f"/jobs/{job}/validation/changes",
            "exports": f"/jobs/{job}/exports",
            "activity": "/activity",
            "api": "/api",
            "account": "/account",
            "keys": "/account/keys",
            "people": "/admin/users",
        }
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            for name, path in pages.items():
                page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
                answer = page.goto(path)
                if answer is not None and answer.status == 200:
                    take(page, f"{name}-{theme}")
        context.clear_cookies()
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
            answer = page.goto("/login")
            if answer is not None and answer.status == 200:
                take(page, f"login-{theme}")
        context.close()


if __name__ == "__main__":
    main()
