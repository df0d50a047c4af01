"""The gallery: looked through and decided by keyboard, by mouse, and without a script."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob
from tests.api.albums import Gathered, gathered, picture, pictures
from tests.browser import Visit, chromium, opened
from tests.serving import Served

COUNT = 70  # one more page than the first


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return [*pictures(COUNT - 1), picture("chelsea", 40)]


@pytest.fixture
def job(served: Served, files: list[bytes]) -> Gathered:
    job = gathered(served, served.person(), files, fields=lambda n: {"label": "cat" if n % 2 else "dog"})
    job.validate(min_width=100)
    return job


@pytest.fixture
def visit(browser: Browser, served: Served, job: Gathered) -> Iterator[Visit]:
    context, visit = opened(browser, served, job.user_id)
    with context:
        visit.page.goto(f"/jobs/{job.job_id}/images")
        yield visit
    assert visit.complaints == []


def choices(page: Page) -> list[str]:
    """What each tile says of its decision, as far as any is decided."""
    found = page.eval_on_selector_all(".tile", "tiles => tiles.map(tile => tile.dataset.choice)")
    return [str(choice) for choice in found]


def focused(page: Page) -> int:
    return int(page.evaluate("[...document.querySelectorAll('.tile a')].indexOf(document.activeElement)"))


def test_a_review_by_keyboard(visit: Visit, job: Gathered) -> None:
    page = visit.page
    says = page.locator("[data-says]")
    page.locator(".tile a").first.focus()
    page.keyboard.press("ArrowRight")
    assert focused(page) == 1
    page.keyboard.press("k")
    expect(says).to_have_text("1 picture kept.")
    assert focused(page) == 2  # on to the next
    page.keyboard.press("r")
    expect(says).to_have_text("1 picture rejected.")
    page.keyboard.press("ArrowDown")
    columns = focused(page) - 3
    assert columns > 1
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    assert focused(page) == 0
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.keyboard.press("r")  # both that are ticked
    expect(says).to_have_text("2 pictures rejected.")
    assert choices(page)[:4] == ["reject", "keep", "reject", ""]
    page.keyboard.press("u")
    expect(says).to_have_text("2 pictures undone.")
    assert choices(page)[:4] == ["", "keep", "reject", ""]  # the third as it was before
    page.keyboard.press("ArrowRight")
    page.keyboard.press("r")
    expect(says).to_have_text("1 picture rejected.")
    assert choices(page)[:4] == ["", "reject", "reject", ""]
    assert page.locator(".tile a[tabindex='0']").count() == 1
    page.reload()
    assert choices(page)[:4] == ["", "reject", "reject", ""]
    visit.accessible()


def test_undo_takes_back_what_was_decided_last(visit: Visit, job: Gathered) -> None:
    """One decision after the other, each to what there was before; and it tells what the server says."""
    page, says = visit.page, visit.page.locator("[data-says]")
    page.locator(".tile a").nth(1).focus()
    page.keyboard.press("k")
    expect(page.locator(".tile[data-choice=keep]")).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    for rejected in (1, 2):
        page.keyboard.press("r")
        expect(page.locator(".tile[data-choice=reject]")).to_have_count(rejected)
    expect(page.locator(".tile a").nth(3)).to_be_focused()
    assert (focused(page), choices(page)[:4]) == (3, ["", "reject", "reject", ""])
    for place, left in ((2, ["", "reject", "", ""]), (1, ["", "keep", "", ""]), (1, ["", "", "", ""])):
        says.evaluate("each => { each.textContent = '' }")
        page.keyboard.press("u")
        expect(says).to_have_text("1 picture undone.")
        assert (focused(page), choices(page)[:4]) == (place, left)
    page.keyboard.press("u")
    expect(says).to_have_text("There was nothing to undo.")
    assert job.decided() == {}


def test_undo_goes_back_in_the_large_too(visit: Visit, job: Gathered) -> None:
    page = visit.page
    page.locator(".tile a").first.focus()
    page.keyboard.press(" ")
    page.keyboard.press("r")
    picture = page.get_by_role("dialog").locator("img")
    expect(picture).to_have_attribute("src", f"/api/v1/images/{job.images[1]}/file")
    page.keyboard.press("u")
    expect(picture).to_have_attribute("src", f"/api/v1/images/{job.images[0]}/file")
    assert job.decided() == {}


def test_several_are_selected_and_undone_together(visit: Visit, job: Gathered) -> None:
    page, says, boxes = visit.page, visit.page.locator("[data-says]"), visit.page.locator(".tile input")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.get_by_text("4 selected")).to_be_visible()
    boxes.nth(2).click()
    boxes.nth(1).click(modifiers=["Shift"])  # a range is left out too, and backwards
    expect(page.get_by_text("2 selected")).to_be_visible()
    boxes.nth(0).click()
    expect(page.get_by_text("3 selected")).to_be_visible()
    page.locator(".tile a").first.focus()
    page.keyboard.press("r")
    expect(says).to_have_text("3 pictures rejected.")
    expect(page.get_by_text("3 selected")).to_have_count(0)
    assert choices(page)[:6] == ["reject", "", "", "reject", "reject", ""]
    page.keyboard.press("u")
    expect(says).to_have_text("3 pictures undone.")
    assert job.decided() == {}

    everything = page.get_by_label("Select all on this page")
    shown = boxes.count()
    everything.check()
    expect(page.get_by_text(f"{shown} selected")).to_be_visible()
    boxes.nth(1).uncheck()
    expect(everything).to_have_js_property("indeterminate", True)
    visit.accessible()


def test_an_image_is_enlarged_and_decided_in_the_large(visit: Visit, job: Gathered) -> None:
    page = visit.page
    page.locator(".tile a").first.focus()
    page.keyboard.press(" ")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.locator("img")).to_have_js_property("naturalWidth", 320)
    visit.accessible()
    page.keyboard.press("ArrowRight")
    expect(dialog.locator("img")).to_have_attribute("src", f"/api/v1/images/{job.images[1]}/file")
    page.keyboard.press("r")
    expect(dialog.locator("img")).to_have_attribute("src", f"/api/v1/images/{job.images[2]}/file")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".tile a").nth(2)).to_be_focused()  # the browser first gives it back to where it was
    assert choices(page)[:3] == ["", "reject", ""]


def test_more_images_come_at_the_end_and_all_are_shown_once(visit: Visit, job: Gathered) -> None:
    page = visit.page
    for _ in range(5):
        page.mouse.wheel(0, 10_000)
        page.wait_for_timeout(200)
    expect(page.locator(".tile")).to_have_count(COUNT)
    expect(page.locator("[data-next]")).to_have_count(0)
    shown = page.eval_on_selector_all(".tile", "tiles => tiles.map(tile => Number(tile.dataset.image))")
    assert shown == job.images
    page.locator(".tile a").last.focus()
    page.keyboard.press("r")
    expect(page.locator("[data-says]")).to_have_text("1 picture rejected.")


def test_the_mouse_ticks_and_the_buttons_decide(visit: Visit) -> None:
    page = visit.page
    for place in (0, 3):
        page.locator(".tile input").nth(place).check()
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.locator("[data-says]")).to_have_text("2 pictures kept.")
    assert choices(page)[:4] == ["keep", "", "", "keep"]
    page.goto(f"{page.url}?decision=keep")
    expect(page.locator(".tile")).to_have_count(2)


def test_filters_without_a_script(served: Served, job: Gathered) -> None:
    with served.browser(job.user_id) as client:
        client.headers["Accept"] = "text/html"
        path = f"/jobs/{job.job_id}/images"
        shown = client.get(path, params={"label": "cat", "min_width": "", "text": ""})
        assert shown.text.count('class="tile"') == COUNT // 2
        assert '<option value="cat" selected>cat</option>' in shown.text
        [small] = re.findall(r'data-image="(\d+)"', client.get(path, params={"valid": "false"}).text)
        assert int(small) == job.images[-1]
        wrong = client.get(path, params={"min_width": "wide"})
        assert (wrong.status_code, "A number, please." in wrong.text) == (422, True)
        assert "No image is like that" in client.get(path, params={"text": "<nothing>"}).text
        lost = client.get(path, params={"outcome": "failed"}).text
        assert (lost.count('class="tile"'), "/thumbnail" in lost) == (1, False)


def test_filters_offer_what_the_job_has(served: Served, job: Gathered) -> None:
    """In words, with counts where they cost nothing; each leads to as many images, from other pages too."""
    with served.browser(job.user_id) as client:
        client.headers["Accept"] = "text/html"
        path = f"/jobs/{job.job_id}"

        def offered(name: str, query: str = "") -> list[tuple[str, str]]:
            select = (
                client.get(f"{path}/images{query}").text.partition(f'<select id="{name}"')[2].partition("</select")[0]
            )
            return [(value, text) for value, text in re.findall(r'<option value="([^"]+)"[^>]*>([^<]+)<', select)]

        assert offered("reason") == [("not_found", "not found (1)")]
        assert offered("verdict") == [("exact_duplicate", "exact duplicate"), ("min_width", "min width")]
        assert offered("licence") == [("by-sa", f"by-sa ({COUNT})")]
        assert offered("licence", "?licence=cc0") == [("by-sa", f"by-sa ({COUNT})"), ("cc0", "cc0")]
        assert offered("label") == [("cat", "cat"), ("dog", "dog")]  # which no chunk was named after
        for page, link, meaning in (
            (path, "reason=not_found", "not_found"),
            (path, "verdict=min_width", "min_width"),
            (f"{path}/validation", "verdict=min_width", "min_width"),
        ):
            text = client.get(page).text
            assert f'href="{path}/images?{link}"' in text
            assert f'href="/reasons#{meaning}">meaning</a>' in text
            assert client.get(f"{path}/images?{link}").text.count('class="tile"') == 1


def test_pages_and_decisions_without_a_script(browser: Browser, served: Served, job: Gathered) -> None:
    context, visit = opened(browser, served, job.user_id, scripts=False, width=360)
    with context:
        page = visit.page
        page.goto(f"/jobs/{job.job_id}/images?label=dog")
        page.locator(".tile input").nth(1).check()
        page.get_by_role("button", name="Reject", exact=True).click()
        expect(page.get_by_text("1 picture rejected.")).to_be_visible()
        assert page.url.endswith("?label=dog")
        assert choices(page)[:3] == ["", "reject", ""]
        page.goto(f"/jobs/{job.job_id}/images")
        page.locator("[data-next]").click()
        expect(page.locator(".tile")).to_have_count(COUNT - 60)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 2560])
def test_the_pages_are_accessible(browser: Browser, served: Served, job: Gathered, width: int, dark: bool) -> None:
    context, visit = opened(browser, served, job.user_id, width=width, dark=dark)
    with context:
        visit.page.goto(f"/jobs/{job.job_id}/images?min_width=1")
        visit.page.locator(".tile a").first.focus()
        visit.page.keyboard.press("k")
        visit.page.keyboard.press("r")
        expect(visit.page.locator(".tile[data-choice=reject]")).to_have_count(1)
        visit.accessible()
        visit.page.goto(f"/images/{job.images[0]}")
        visit.accessible()
    assert visit.complaints == []


def test_the_page_of_an_image_tells_everything(served: Served, job: Gathered) -> None:
    with served.browser(job.user_id, follow_redirects=True) as client:
        client.headers["Accept"] = "text/html"
        path = f"/images/{job.images[-1]}"
        text = client.get(path).text
        for told in ("Ann", "by-sa 4.0", "https://example.org/69.jpg", "min width", "40 × ", "Nobody has decided"):
            assert told in text, told
        body = {"image_ids": str(job.images[-1]), "choice": "keep", "note": "the <only> one"}
        decided = client.post(path, data=body)
        assert "1 picture kept." in decided.text
        assert "the &lt;only&gt; one" in decided.text
        assert f"{job.user_id.hex[:12]}@example.org on" in decided.text
        assert "Nobody has decided" in client.post(path, data=body | {"choice": "undo"}).text
        assert client.post(path, data=body | {"choice": "burn"}).status_code == 422
        twin = gathered(served, job.user_id, [picture("china"), picture("china", 640), picture("china")])
        assert client.get(f"/images/{twin.images[0]}").text.count('class="tile"') == 2


def test_from_image_to_image_by_links_and_keys(visit: Visit, served: Served, job: Gathered) -> None:
    page = visit.page
    page.goto(f"/images/{job.images[1]}")
    page.get_by_role("link", name="Next").click()
    expect(page).to_have_url(re.compile(f"/images/{job.images[2]}$"))
    for place in (1, 0):
        page.keyboard.press("ArrowLeft")
        expect(page).to_have_url(re.compile(f"/images/{job.images[place]}$"))
    assert page.get_by_role("link", name="Previous").count() == 0
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(f"/images/{job.images[1]}$"))
    page.get_by_label("Why").fill("text")
    page.keyboard.press("ArrowLeft")  # within the text
    page.wait_for_timeout(300)
    expect(page).to_have_url(re.compile(f"/images/{job.images[1]}$"))
    visit.accessible()
    with served.browser(job.user_id) as client:
        client.headers["Accept"] = "text/html"
        assert 'rel="next"' not in client.get(f"/images/{job.images[-1]}").text
        [lost] = re.findall(r'data-image="(\d+)"', client.get(f"/jobs/{job.job_id}/images?outcome=failed").text)
        assert "rel=" not in client.get(f"/images/{lost}").text.partition("<main")[2].partition("</h1>")[2][:300]


def test_a_crawl_that_ended_without_images_promises_none(served: Served, me: httpx.Client, project: int) -> None:
    async def make(session: AsyncSession, status: str) -> int:
        session.add(made := CrawlJob(project_id=project, name="Empty", keywords=["cat"], status=status))
        await session.flush()
        return made.id

    for status, ended in (("failed", True), ("cancelled", True), ("running", False)):
        job_id = served.run(lambda session, status=status: make(session, status))
        for path in ("images", "validation", "exports"):
            text = me.get(f"/jobs/{job_id}/{path}").text
            assert ("has ended without" in text) == ended
            assert bool(re.search("as soon as|As soon as|When the images", text)) != ended


def test_others_see_and_decide_nothing(served: Served, job: Gathered, me: httpx.Client) -> None:
    for path in (f"/jobs/{job.job_id}/images", f"/images/{job.images[0]}"):
        assert me.get(path).status_code == 404
        assert me.post(path, data={"image_ids": str(job.images[0]), "choice": "keep"}).status_code == 404
