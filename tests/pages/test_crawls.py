"""The form of a new crawl, and the page of the job that comes of it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from backend.http.bodies import USUAL
from backend.models import CrawlChunk, CrawlJob
from backend.models.enums import Role
from backend.schemas.crawl_requests import CrawlOptions
from backend.web.crawls import keywords_of
from gleanset.sources import SOURCES
from gleanset.types import Reason
from tests.browser import chromium, opened
from tests.serving import Served

GOOD = {
    "name": "Gulls",
    "keywords": "gull: herring gull, common gull\ntern",
    "max_images": "40",
    "sources": "openverse",
}


def plan_of(served: Served, job_id: int) -> tuple[Any, dict[str, Any], int]:
    async def look(session: Any) -> tuple[Any, dict[str, Any], int]:
        job = await session.get_one(CrawlJob, job_id)
        return job.keywords, job.options, len(job.task_ids)

    return served.run(look)


def test_keywords_stand_in_lines() -> None:
    assert keywords_of("gull: herring gull , common gull\n\n tern\ngull: laughing gull") == {
        "gull": ["herring gull", "common gull", "laughing gull"],
        "tern": ["tern"],
    }
    assert keywords_of("gull:") == {"gull": []}


def test_the_form_names_every_source_and_what_it_asks(me: httpx.Client, project: int) -> None:
    text = me.get(f"/projects/{project}/new").text
    for info in SOURCES.values():
        assert (f'value="{info.name}"' in text) == info.searched
    assert text.count("needs a key") == sum(info.key for info in SOURCES.values())
    assert 'value="openverse" checked' in text
    assert 'value="flickr" disabled' in text


def test_a_crawl_is_made_and_started(served: Served, me: httpx.Client, project: int) -> None:
    asked = {
        **GOOD,
        "sources": ["openverse", "wikimedia"],
        "licence": "cc0,pdm,publicdomain",
        "rule_min_width": "256",
        "rule_formats": ["jpeg", "png"],
        "export": "zip",
        "website": "https://example.org/birds/",
        "depth": "2",
        "max_pages": "30",
        "list_url": "https://example.org/list.csv",
        "label_column": "class",
    }
    answer = me.post(f"/projects/{project}/new", data=asked)
    assert answer.status_code == 200
    keywords, plan, tasks = plan_of(served, int(answer.url.path.rpartition("/")[2]))
    assert keywords == {"gull": ["herring gull", "common gull"], "tern": ["tern"]}
    assert plan["sources"] == ["openverse", "wikimedia"]
    assert plan["licences"] == ["cc0", "pdm", "publicdomain"]
    assert plan["rules"] == {"min_width": 256, "formats": ["jpeg", "png"]}
    assert plan["export"]["format"] == "zip"
    assert (plan["websites"][0]["depth"], plan["websites"][0]["max_pages"]) == (2, 30)
    assert (plan["lists"][0]["path"], plan["lists"][0]["label_column"]) == ("https://example.org/list.csv", "class")
    assert (plan["allow_private"], plan["folders"], tasks) == (False, [], 1)
    assert "Waiting for a worker" in answer.text
    assert "gull: herring gull, common gull; tern" in answer.text


def test_every_option_of_the_api_has_its_field(served: Served, me: httpx.Client, project: int) -> None:
    asked = {
        **GOOD, "licence": "open", "rule_preset": "lenient", "export": "webdataset",
        "website": "https://example.org/birds/", "depth": "2", "max_pages": "30", "sitemaps": "yes", "label": "bird",
        "list_url": "https://example.org/list.csv", "url_column": "link", "label_column": "class",
        "kept_size": "256", "keep_original": "yes",
        "split": "folds", "folds": "4", "seed": "3", "follow": "none", "related_series": "yes", "labels": "gull",
        "resize": "crop", "size": "224", "rename": "number", "max_shard": "100", "include_metadata": "yes",
    }  # fmt: skip
    answer = me.post(f"/projects/{project}/new", data=asked)
    _, plan, _ = plan_of(served, int(answer.url.path.rpartition("/")[2]))
    assert (plan["resize"], plan["keep_original"]) == (256, True)
    assert plan["websites"][0] == {
        "url": "https://example.org/birds/", "depth": 2, "max_pages": 30, "sitemaps": True, "label": "bird"
    }  # fmt: skip
    assert plan["lists"][0] == {
        "path": "https://example.org/list.csv", "key": None, "url_column": "link", "label_column": "class",
        "label": "bird",
    }  # fmt: skip
    packed = plan["export"]["options"]
    assert (packed["split"]["folds"], packed["split"]["seed"], packed["split"]["related"]) == (4, 3, ["series"])
    assert (packed["labels"], packed["rename"], packed["max_shard_size"]) == (["gull"], "number", 100_000_000)
    assert packed["resize"]["size"] == 224
    named_by_a_file = {"rules_name"}
    assert [name for name in CrawlOptions.model_fields.keys() - named_by_a_file if not plan[name]] == []


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"kept_size": "9"}, "kept_size", "At least 16, please."),
        ({"list_url": "https://example.org/a.csv", "label": "x" * 201}, "label", "At most 200 characters, please."),
        ({"export": "zip", "split": "folds", "folds": "1"}, "folds", "At least 2, please."),
        ({"export": "zip", "split": "ratios", "ratios": "train=x"}, "ratios", "A number, please."),
        ({"export": "zip", "resize": "crop", "size": "big"}, "size", "A number, please."),
        ({"name": ""}, "name", "Please fill this in."),
        ({"keywords": ""}, "keywords", "Give at least one keyword"),
        ({"keywords": "gull:"}, "keywords", "at least one for each label"),
        ({"max_images": "many"}, "max_images", "A number, please."),
        ({"max_images": "0"}, "max_images", "At least 1, please."),
        ({"max_images": "1" * 5000}, "max_images", "integer"),
        ({"list_url": "file:///etc/passwd"}, "list_url", "begins with https://"),
        ({"website": "ftp://example.org/", "depth": "1", "max_pages": "1"}, "website", "http"),
        ({"website": "https://example.org/", "depth": "99", "max_pages": "1"}, "depth", "At most 10, please."),
        ({"licences": "mine"}, "licences", "mine"),
        ({"rule_min_width": "wide"}, "rule_min_width", "wants a number"),
        ({"rule_min_width": "9", "rule_max_width": "3"}, "rule_min_width", "leave no image"),
        ({"rule_licences": "mit"}, "rule_licences", "There is no licence 'mit'"),
        ({"rule_preset": "severe"}, "rule_preset", "The presets are"),
        ({"rule_preset": "standard", "rule_keep_duplicates": "true"}, "rule_keep_duplicates", "drop one of them"),
        ({"sources": "flickr"}, "form", "Flickr needs a key"),
        ({"sources": "urls"}, "sources", "takes no keywords"),
        ({"export": "tape"}, "export", "There is no export format"),
    ],
)
def test_errors_stand_beside_their_field_and_input_is_kept(
    me: httpx.Client, project: int, change: dict[str, str], field: str, sentence: str
) -> None:
    answer = me.post(f"/projects/{project}/new", data={**GOOD, "label_column": "kept-as-it-was", **change})
    assert answer.status_code == 422
    wrong = answer.text.partition('role="alert">' if field == "form" else f'id="{field}-says"')[2].partition("</p>")[0]
    assert sentence in wrong.replace("&#39;", "'")
    assert 'value="kept-as-it-was"' in answer.text


def test_a_crawl_in_somebody_elses_project_is_not_made(served: Served, project: int) -> None:
    with served.browser(served.person()) as other:
        assert other.get(f"/projects/{project}/new").status_code == 404
        assert other.post(f"/projects/{project}/new", data=GOOD).status_code == 404


@pytest.fixture
def job(served: Served, project: int) -> int:
    """A running job with two chunks, one of which has given something."""

    async def make(session: Any) -> int:
        job = CrawlJob(
            project_id=project,
            name="<Gulls>",
            keywords=["gull"],
            status="running",
            max_images=100,
            total_images=60,
            downloaded_images=42,
            total_chunks=2,
            active_chunks=1,
            completed_chunks=1,
            progress=42,
        )
        session.add(job)
        await session.flush()
        for position, status in enumerate(("completed", "running")):
            session.add(
                CrawlChunk(
                    crawl_job_id=job.id,
                    position=position,
                    source="openverse",
                    label="gull",
                    keyword="gull",
                    status=status,
                    quota=50,
                    downloaded_images=21,
                    bytes=1_500_000,
                    reasons={"not_found": 9},
                )
            )
        return job.id

    return served.run(make)


def test_the_page_of_a_job_shows_its_progress(me: httpx.Client, job: int) -> None:
    text = me.get(f"/jobs/{job}").text
    assert "&lt;Gulls&gt;" in text
    assert '<span data-field="crawl_job.downloaded_images" data-as="number">42</span>' in text
    assert '<dd data-field="bytes" data-as="bytes">3.0 MB</dd>' in text
    assert [text.count(f'class="{state}"><title>') for state in ("completed", "running", "failed")] == [1, 1, 0]
    assert "<title>Chunk 2: openverse, gull</title>" in text
    assert "chunk failed" not in text
    assert f'href="/jobs/{job}/images?reason=not_found">not found</a>' in text
    assert 'href="/reasons#not_found">meaning</a>' in text
    assert '<noscript><meta http-equiv="refresh"' in text


def test_the_page_of_a_job_tells_which_chunks_failed_and_why(served: Served, me: httpx.Client, job: int) -> None:
    why = "Openverse cannot be reached: The host name does not resolve."

    async def fail(session: Any) -> None:
        chunks = (await session.scalars(select(CrawlChunk).filter_by(crawl_job_id=job))).all()
        for chunk in chunks:
            chunk.reasons = {}
        chunks[1].status, chunks[1].error_message = "failed", why
        (await session.get_one(CrawlJob, job)).failed_chunks = 1

    served.run(fail)
    text = me.get(f"/jobs/{job}").text
    assert "1 chunk failed</h2>" in text
    assert f"<li>Chunk 2, openverse, gull: {why}</li>" in text
    assert f"<title>Chunk 2: openverse, gull. {why}</title>" in text
    assert "could be had" not in text
    assert "But chunks failed before they had met all of theirs." in text
    assert text.partition('class="legend"')[2].count('class="key"') == 5


def test_a_job_is_cancelled_and_tried_again(me: httpx.Client, job: int) -> None:
    cancelled = me.post(f"/jobs/{job}/cancel").text
    assert "What was gathered stays" in cancelled
    assert '<span class="badge cancelled" data-state="status">' in cancelled
    assert "http-equiv" not in cancelled  # nothing more happens
    refused = me.post(f"/jobs/{job}/cancel", headers={"Referer": str(me.base_url.join(f"/jobs/{job}"))})
    assert refused.status_code == 409
    assert f'href="/jobs/{job}">Go back' in refused.text
    assert '<span class="badge running" data-state="status">' in me.post(f"/jobs/{job}/retry").text


def test_who_may_only_look_has_no_buttons(served: Served, me: httpx.Client, job: int) -> None:
    assert f'action="/jobs/{job}/cancel"' in me.get(f"/jobs/{job}").text
    with served.browser(served.person(Role.MODERATOR)) as moderator:
        shown = moderator.get(f"/jobs/{job}")
        assert shown.status_code == 200
        assert f'action="/jobs/{job}/cancel"' not in shown.text
        assert moderator.post(f"/jobs/{job}/cancel").status_code == 403
    with served.browser(served.person()) as other:
        assert other.get(f"/jobs/{job}").status_code == 404


def test_every_reason_has_its_meaning(me: httpx.Client) -> None:
    text = me.get("/reasons").text
    for reason in Reason:
        assert f'<tr id="{reason.value}">' in text
    assert '<tr id="exact_duplicate">' in text


def test_a_first_look_says_what_is_wrong_and_keeps_the_input(me: httpx.Client, project: int) -> None:
    answer = me.post(f"/projects/{project}/new", data={"action": "preview", "keywords": "", "name": "Kept"})
    assert answer.status_code == 422
    assert "Give at least one keyword" in answer.text
    assert 'value="Kept"' in answer.text


def test_a_first_look_shows_what_a_list_offers(me: httpx.Client, project: int) -> None:
    rows = b"url,title,licence,page_url\nhttps://example.org/1.jpg,<Gull>,by-sa 4.0,javascript:alert(1)\n"
    kept = me.post("/api/v1/lists", files={"file": ("birds.csv", rows)}).json()
    text = me.post(f"/projects/{project}/new", data={"action": "preview", "list_key": kept["key"]}).text
    shown = text.partition('id="preview"')[2].partition("</section>")[0]
    assert "&lt;Gull&gt;" in shown
    assert "by-sa" in shown
    assert "javascript:" not in text
    assert f'name="list_key" value="{kept["key"]}"' in text


@pytest.mark.parametrize("scripts", [True, False])
def test_the_first_look_is_what_one_sees_then(served: Served, scripts: bool) -> None:
    """Its results, and what is wrong, stand far below where a page begins."""
    user_id = served.person()
    with served.browser(user_id, follow_redirects=True) as client:
        number = client.post("/projects/new", data={"name": "Birds"}).url.path.rpartition("/")[2]
    with chromium() as browser:
        context, visit = opened(browser, served, user_id, scripts=scripts)
        with context:
            page = visit.page
            page.goto(f"/projects/{number}/new")
            look = page.get_by_role("button", name="Show the first results")
            look.click()
            expect(page.get_by_role("alert")).to_be_in_viewport()
            expect(page.get_by_text("Give at least one keyword")).to_have_count(2)  # beside the field, too
            page.get_by_role("link", name="Keywords").click()
            expect(page.get_by_label("Keywords", exact=True)).to_be_in_viewport()
            rows = {
                "name": "birds.csv",
                "mimeType": "text/csv",
                "buffer": b"url,title\nhttps://example.org/1.jpg,Gull\n",
            }
            page.get_by_label("A list of image URLs").set_input_files(rows)
            if scripts:
                expect(page.get_by_text("1 row, ready.")).to_be_visible()
            look.click()
            expect(page.get_by_role("heading", name="The first results")).to_be_in_viewport()
            expect(page.get_by_role("link", name="Gull")).to_be_in_viewport()
            expect(look).to_be_in_viewport()
        assert [each for each in visit.complaints if "422" not in each] == []


def test_without_scripts_a_list_comes_with_the_form(served: Served, me: httpx.Client, project: int) -> None:
    """It is kept over a first look, and longer than other forms may be."""
    lines = b"url,class\n" + b"".join(b"https://example.org/%d.jpg,gull\n" % n for n in range(200_000))
    asked = {"name": "Gulls", "max_images": "40", "action": "preview"}
    assert len(lines) > USUAL
    shown = me.post(f"/projects/{project}/new", data=asked, files={"list_file": ("birds.csv", lines)}).text
    assert "The list is uploaded." in shown
    assert "https://example.org/0.jpg" in shown.partition('id="preview"')[2]
    found = re.search(r'name="list_key" value="(lists/[0-9a-f]{64}\.csv)"', shown)
    assert found
    body = {"name": "Gulls", "max_images": "40", "list_key": found[1]}
    answer = me.post(f"/projects/{project}/new", data=body, files={"list_file": ("", b"")})
    assert answer.status_code == 200
    _, plan, _ = plan_of(served, int(answer.url.path.rpartition("/")[2]))
    assert plan["lists"][0]["key"] == found[1]


def test_a_list_that_is_none_is_said_beside_its_field(me: httpx.Client, project: int) -> None:
    for action in ("start", "preview"):
        files = {"list_file": ("birds.csv", b"")}
        answer = me.post(f"/projects/{project}/new", data={**GOOD, "action": action}, files=files)
        assert answer.status_code == 422
        assert "is empty" in answer.text.partition('id="list_file-says"')[2].partition("</p>")[0]
        assert 'value="Gulls"' in answer.text
