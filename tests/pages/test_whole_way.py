"""From the one-time link to a dataset that is downloaded, unpacked and verified, in Chromium, with a real worker."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from backend.demo.web import DemoWeb
from backend.services import identity
from gleanset.export.verify import is_export
from tests.browser import chromium, opened
from tests.demo import allow_loopback, demo_web, demo_worker
from tests.serving import Served

WAIT = 90_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def web() -> Iterator[DemoWeb]:
    with demo_web() as running:
        yield running


def make_project(page: Page, name: str) -> Locator:
    """Fill in the form that is open, and send it; the link to the form of a crawl."""
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make the project").click()
    return page.get_by_role("link", name="Start the first crawl")


def test_the_whole_way(served: Served, browser: Browser, web: DemoWeb, tmp_path: Path) -> None:
    who = served.person()
    context, visit = opened(browser, served, None)
    page = visit.page
    page.goto(f"/login/{served.run(lambda session: identity.new_link(session, who))}")
    expect(page.get_by_role("heading", name="No project yet")).to_be_visible()
    page.get_by_role("link", name="Make your first project").click()
    make_project(page, "Harbour").click()

    page.get_by_label("Name of the crawl").fill("Drawn harbour")
    page.get_by_label("Keywords").fill("\n".join(f"{word}: {word}" for word in web.keywords))
    expect(page.locator("[data-keyword-count]")).to_have_text(re.compile(r"5 labels, 5 keywords"))
    page.get_by_label("Images at most").fill("60")
    page.get_by_label("Pack the valid images").select_option("")
    page.get_by_role("button", name="Start the crawl").click()
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    job = int(urlsplit(page.url).path.split("/")[2])
    allow_loopback(served, job)

    # Somebody else looks on, in a browser of their own, and nobody loads the page again.
    other_context, other = opened(browser, served, who)
    other.page.goto(f"/jobs/{job}")
    other.page.evaluate("window.kept = true")
    with demo_worker(served, web):
        for each in (page, other.page):
            expect(each.locator("[data-state=status]")).to_have_text("completed", timeout=WAIT)
            expect(each.locator("[data-field='crawl_job.downloaded_images']").first).to_have_text("60")
            expect(each.locator(".strip rect.completed")).to_have_count(5)
            expect(each.get_by_role("button", name="Cancel")).to_be_hidden()
        assert other.page.evaluate("window.kept") is True
        assert other.page.locator("[data-rows=labels] tr").count() == 5

        page.get_by_role("link", name="Validation", exact=True).click()
        expect(page.locator("[data-verdict]")).to_have_text(re.compile(r"^\d+ of 60 images would be valid\.$"))
        page.get_by_label("Width at least").fill("100000")
        expect(page.locator("[data-verdict]")).to_have_text("0 of 60 images would be valid.")
        expect(page.locator("[data-rule=min_width]")).to_have_text("would refuse 60")
        page.get_by_label("Width at least").fill("200")
        expect(page.locator("[data-verdict]")).not_to_have_text("0 of 60 images would be valid.")
        page.get_by_role("button", name="Judge the images").click()
        row = page.get_by_role("row", name=re.compile("min_width = 200"))
        expect(row.get_by_text("completed")).to_be_visible(timeout=WAIT)

        page.get_by_role("link", name="Exports", exact=True).click()
        page.get_by_role("radio", name=re.compile("^zip ")).check()
        page.get_by_role("button", name="Pack").click()
        link = page.get_by_role("link", name=re.compile("^Download"))
        expect(link).to_be_visible(timeout=WAIT)
    stated = page.locator(".export code").inner_text()
    with page.expect_download() as download:
        link.click()
    file = tmp_path / "dataset.zip"
    download.value.save_as(file)
    assert is_export(str(file), stated)
    verify(file, tmp_path / "unpacked")
    assert visit.complaints == other.complaints == []
    context.close()
    other_context.close()


def verify(file: Path, folder: Path) -> None:
    """Every file has the sum that the manifest states, and every image its row."""
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    sums = dict(reversed(line.split("  ", 1)) for line in (folder / "MANIFEST.sha256").read_text().splitlines())
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"MANIFEST.sha256"}
    assert files == sums.keys()
    for name, stated in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == stated
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    assert 0 < len(rows) == sum(name.startswith("images/") for name in files)
    assert all(row["licence"] and row["width"] >= 200 for row in rows)


def test_a_list_is_uploaded_from_the_form(served: Served, browser: Browser, tmp_path: Path) -> None:
    context, visit = opened(browser, served, served.person())
    page = visit.page
    page.goto("/projects/new")
    make_project(page, "Lists").click()
    file = tmp_path / "birds.csv"
    file.write_text("url,label\nhttps://example.org/1.jpg,gull\nhttps://example.org/2.jpg,tern\n")
    page.get_by_label("A list of image URLs").set_input_files(file)
    expect(page.get_by_text("birds.csv: 2 rows, ready.")).to_be_visible()
    page.get_by_label("Name of the crawl").fill("From a list")
    page.get_by_role("button", name="Start the crawl").click()
    expect(page.get_by_text("an uploaded list")).to_be_visible()
    assert visit.complaints == []
    context.close()


def test_what_was_filled_in_before_the_script_came_counts(served: Served, browser: Browser, tmp_path: Path) -> None:
    context, visit = opened(browser, served, served.person())
    page = visit.page
    page.goto("/projects/new")
    address = make_project(page, "Slow lines").get_attribute("href")
    assert address is not None
    held: list[Route] = []
    page.route("**/form.js*", lambda route: held.append(route))
    with page.expect_request("**/form.js*"):
        page.goto(address, wait_until="commit")
    page.get_by_label("Keywords").fill("gull\ntern")
    file = tmp_path / "birds.csv"
    file.write_text("url\nhttps://example.org/1.jpg\n")
    page.get_by_label("A list of image URLs").set_input_files(file)
    expect(page.locator("[data-keyword-count]")).to_have_text("")
    held[0].continue_()
    expect(page.locator("[data-keyword-count]")).to_have_text("2 labels, 2 keywords")
    expect(page.get_by_text("birds.csv: 1 row, ready.")).to_be_visible()
    assert visit.complaints == []
    context.close()
