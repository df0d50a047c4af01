"""Where things stand in the window: what has to be large, in sight, or on one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from backend.web.render import STATIC
from tests.api.albums import Gathered, gathered, picture, pictures
from tests.browser import chromium, opened
from tests.serving import Served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def job(served: Served) -> Gathered:
    """Several pictures, and one of them in four sizes."""
    sizes = [picture("china", width) for width in (320, 480, 640, 800)]
    job = gathered(served, served.person(), [*sizes, *pictures(50)])
    job.validate(near_duplicate_distance=31, min_width=330)
    return job


@pytest.fixture
def page(browser: Browser, served: Served, job: Gathered) -> Iterator[Page]:
    context, visit = opened(browser, served, job.user_id)
    with context:
        yield visit.page
    assert [each for each in visit.complaints if "422" not in each] == []


def widths(place: Locator) -> list[float]:
    return [box["width"] for box in boxes(place)]


def tops(place: Locator) -> set[int]:
    return {round(box["y"]) for box in boxes(place)}


def boxes(place: Locator) -> list[dict[str, float]]:
    """Of all at one moment: a page in which something appears above them moves between two questions."""
    shown = place.evaluate_all("all => all.map(each => each.getBoundingClientRect().toJSON())")
    return [box for box in shown if box["width"]]


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_copies_are_large_enough_to_choose_from(page: Page, job: Gathered, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"/jobs/{job.job_id}/validation")
    group = page.locator(".twins > .card").filter(has_text="800×").first
    assert min(widths(group.locator("img"))) >= 200
    figures = [round(box["y"]) for box in boxes(group.locator("figure"))]
    assert 1 <= figures.count(figures[0]) <= 4
    if width > 360:
        assert len(set(figures)) < len(figures), "side by side"
    for figure in group.locator("figure").all():
        assert re.search(r"\d+×\d+ · [\d.]+ kB · sharpness [\d,]+\s+by-sa · openverse", figure.inner_text())
        assert len(tops(figure.locator("button"))) == 1


def test_the_verdict_and_the_button_stay_in_sight(page: Page, job: Gathered) -> None:
    page.goto(f"/jobs/{job.job_id}/validation")
    judge = page.get_by_role("button", name="Judge the images")
    form = page.locator("form[data-rules]").bounding_box()
    assert form
    assert form["height"] < 1100
    for summary in page.locator("details.rules > summary").all():
        summary.click()
    for label in ("Width at least", "Entropy at most", "Read the files again"):
        page.get_by_label(label).scroll_into_view_if_needed()
        expect(judge).to_be_in_viewport(ratio=1)
        expect(page.locator("[data-verdict]")).to_be_in_viewport(ratio=1)
    page.locator("nav.within").get_by_role("link", name="Copies").click()
    expect(page.get_by_role("heading", name="Copies")).to_be_in_viewport()


def test_rare_rules_are_folded_until_one_is_set(page: Page, job: Gathered) -> None:
    page.goto(f"/jobs/{job.job_id}/validation")
    assert page.locator("details.rules").count() == 3
    assert page.locator("details.rules[open]").count() == 0
    page.goto(f"/jobs/{job.job_id}/validation?preset=strict")
    assert page.locator("details.rules[open]").count() > 0
    page.locator("details.rules", has_text="Light").evaluate("each => { each.open = true }")
    page.get_by_label("Brightness at least").fill("7")
    page.get_by_label("Brightness at most").fill("6")
    page.get_by_role("button", name="Judge the images").click()
    expect(page.locator("details.rules[open] .wrong").first).to_be_visible()


def test_images_use_the_width_there_is(page: Page, job: Gathered) -> None:
    page.set_viewport_size({"width": 2560, "height": 1200})
    page.goto(f"/jobs/{job.job_id}/images")
    [tiles] = widths(page.locator(".tiles"))
    assert tiles > 0.9 * 2560
    page.goto(f"/jobs/{job.job_id}")
    [main] = widths(page.locator("main"))
    assert main < 0.75 * 2560, "lines of text do not gain by it"


@pytest.mark.parametrize("tab", ["", "/images", "/validation", "/exports"])
def test_tabs_are_whole_on_a_phone(page: Page, job: Gathered, tab: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"/jobs/{job.job_id}{tab}")
    for each in page.locator(".tabs a").all():
        box = each.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    assert page.locator(".tabs").evaluate("each => each.scrollWidth <= each.clientWidth")


def test_activity_is_whole_on_a_phone(page: Page, job: Gathered) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/activity")
    for each in page.locator(".log, .log p, .log-filter > *").all():
        assert each.evaluate("each => each.scrollWidth <= each.clientWidth + 1 || each.tagName === 'SELECT'")
        box = each.bounding_box()
        assert box
        assert box["x"] + box["width"] <= 360


def test_keys_are_told_where_there_is_a_keyboard(browser: Browser, served: Served, job: Gathered, page: Page) -> None:
    page.goto(f"/jobs/{job.job_id}/images")
    expect(page.locator(".keys")).to_be_visible()
    cookies = page.context.cookies()
    with browser.new_context(base_url=served.url, is_mobile=True, has_touch=True) as phone:
        phone.add_cookies([{name: each[name] for name in ("name", "value", "domain", "path")} for each in cookies])  # type: ignore[misc]
        held = phone.new_page()
        held.goto(f"/jobs/{job.job_id}/images")
        expect(held.get_by_label("Select all on this page")).to_be_visible()
        expect(held.locator(".keys")).to_be_hidden()


def test_an_image_is_enlarged_up_to_its_own_size(page: Page, job: Gathered) -> None:
    page.set_viewport_size({"width": 2560, "height": 1400})
    page.goto(f"/jobs/{job.job_id}/images")
    page.locator(".tile a").first.focus()
    page.keyboard.press(" ")
    expect(page.get_by_role("dialog").locator("img")).to_have_js_property("naturalWidth", 320)
    assert widths(page.get_by_role("dialog").locator("img")) == [320]
    page.goto(f"/images/{job.images[0]}")
    expect(page.locator(".whole img")).to_have_js_property("naturalWidth", 320)
    assert widths(page.locator(".whole img")) == [320]


def test_all_text_is_of_the_type_scale() -> None:
    for file in Path(STATIC).glob("*.css"):
        sizes = re.findall(r"font-size: ([^;]+);", file.read_text())
        of_figures = {"15px", "112.5%"}  # in the units of a chart; all of it, on a wall
        assert {size for size in sizes if not size.startswith("var(--")} <= of_figures, file.name
