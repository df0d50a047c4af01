"""Pages as HTML: what they show, what their forms do, how they answer when something is wrong."""

from __future__ import annotations

import re
import time

import httpx

from backend.http.access import csrf_token
from backend.models.enums import Role
from backend.web.safe import own_path
from tests.serving import Served


def test_without_projects_the_page_says_what_to_do(me: httpx.Client) -> None:
    answer = me.get("/")
    assert answer.status_code == 200
    assert "No project yet" in answer.text
    assert 'href="/projects/new"' in answer.text


def test_a_project_is_made_renamed_archived_and_deleted(me: httpx.Client) -> None:
    shown = me.post("/projects/new", data={"name": "Birds", "description": "of the <coast>"})
    assert shown.status_code == 200
    assert "The project Birds is there." in shown.text
    assert "of the &lt;coast&gt;" in shown.text
    path = shown.url.path
    assert "Start the first crawl" in me.get(path).text
    assert "is there." not in me.get(path).text  # said once
    me.post(f"{path}/settings", data={"name": "Sea birds", "description": ""})
    assert "Sea birds" in me.get("/").text
    me.post(f"{path}/status", data={"status": "archived"})
    assert "Sea birds" not in me.get("/").text
    assert "Sea birds" in me.get("/", params={"archived": 1}).text
    assert "tick the box" in me.post(f"{path}/status", data={"status": "deleted"}).text
    me.post(f"{path}/status", data={"status": "deleted", "sure": "yes"})
    assert me.get(path).status_code == 404


def test_where_there_is_one_owner_no_page_leads_to_people(served: Served) -> None:
    with served.browser(served.person(Role.ADMIN)) as admin:
        shown = admin.get("/").text
    assert ('href="/admin/takedowns"' in shown, 'href="/admin/users"' in shown) == (True, False)


def test_a_job_that_nobody_started_is_not_running(me: httpx.Client) -> None:
    project = me.post("/api/v1/projects", json={"name": "Idle"}).json()["id"]
    made = me.post("/api/v1/crawl-jobs", json={"project_id": project, "name": "J", "keywords": ["cat"]}).json()["id"]
    assert "1 running" not in me.get("/").text
    me.post(f"/api/v1/crawl-jobs/{made}/start")
    assert "1 running" in me.get("/").text


def test_what_is_wrong_stands_beside_its_field_and_input_is_kept(me: httpx.Client) -> None:
    answer = me.post("/projects/new", data={"name": "x" * 101, "description": "kept"})
    assert answer.status_code == 422
    assert "At most 100 characters, please." in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert "kept</textarea>" in answer.text
    assert "Please fill this in." in me.post("/projects/new", data={"name": "  "}).text


def test_a_form_without_its_token_changes_nothing(me: httpx.Client, project: int) -> None:
    token = me.headers.pop("X-CSRF-Token")
    refused = me.post("/projects/new", data={"name": "Forged"})
    assert (refused.status_code, "CSRF token" in refused.text) == (403, True)
    assert f'name="csrf_token" value="{token}"' in me.get("/projects/new").text
    assert "Forged" not in me.get("/").text
    assert me.post("/projects/new", data={"name": "Ours", "csrf_token": token}).status_code == 200


def test_errors_are_pages_for_people_and_json_for_programs(served: Served, me: httpx.Client, project: int) -> None:
    for path in ("/nowhere", "/projects/999999", f"/projects/{10**30}", "/projects/none"):
        answer = me.get(path)
        assert answer.status_code == 404, path
        assert "Go to the projects" in answer.text
        assert answer.headers["X-Request-ID"] in answer.text
    assert me.get("/api/v1/projects/999999").json()["code"] == "not_found"
    me.headers["Accept"] = "*/*"
    assert me.get("/projects/999999").json()["code"] == "not_found"
    other = served.browser(served.person())
    with other:
        assert other.get(f"/projects/{project}", headers={"Accept": "text/html"}).status_code == 404
        assert other.post(f"/projects/{project}/settings", data={"name": "Mine"}).status_code == 404


def test_who_is_not_logged_in_is_led_to_the_log_in_page_and_back(served: Served) -> None:
    with served.anonymous(headers={"Accept": "text/html"}) as nobody:
        answer = nobody.get("/projects/3?cursor=abc")
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/login?next=%2Fprojects%2F3%3Fcursor%3Dabc"
        old = nobody.get("/login/used-already")
        assert old.status_code == 401
        assert "This link was used already" in old.text


def test_a_theme_is_chosen_without_scripts(me: httpx.Client) -> None:
    assert "data-theme" not in me.get("/").text
    assert '<html lang="en" data-theme="dark">' in me.post("/theme", data={"theme": "dark", "next": "/"}).text
    assert "data-theme" not in me.post("/theme", data={"theme": "system", "next": "/"}).text
    me.cookies.set("gleanset_theme", '"><script>')
    assert "data-theme" not in me.get("/").text


def test_a_page_leads_only_to_paths_of_this_site() -> None:
    assert own_path("/projects/3?a=b") == "/projects/3?a=b"
    for bad in (None, "", "https://evil.test/", "//evil.test/", "/\\evil.test/", "/a\r\nSet-Cookie: x", "projects"):
        assert own_path(bad) == "/"


def test_the_first_page_is_light_and_quick(me: httpx.Client) -> None:
    for n in range(30):
        me.post("/projects/new", data={"name": f"Project {n}", "description": "some words " * 20})
    milliseconds: list[float] = []
    for _ in range(10):
        started = time.perf_counter()
        answer = me.get("/")
        milliseconds.append((time.perf_counter() - started) * 1000)
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text)
    assert len(loaded) >= 2
    total = len(answer.content) + sum(len(me.get(path).content) for path in set(loaded))
    print(f"\nfirst page: {total} bytes, {min(milliseconds):.0f} ms")
    assert total < 100_000
    assert min(milliseconds) < 100  # the quickest: other tests keep the machine busy


def test_the_token_on_the_page_is_that_of_the_cookie(me: httpx.Client) -> None:
    cookie = me.cookies["gleanset_session"]
    assert f'<meta name="csrf-token" content="{csrf_token(cookie)}">' in me.get("/").text
