from __future__ import annotations

import httpx

from tests.serving import Served


def test_a_project_is_made_shown_changed_and_hidden(me: httpx.Client) -> None:
    made = me.post("/api/v1/projects", json={"name": "Birds", "description": "of the coast"})
    assert made.status_code == 201
    path = f"/api/v1/projects/{made.json()['id']}"
    assert me.get(path).json() == made.json()
    changed = me.patch(path, json={"name": "Sea birds"}).json()
    assert (changed["name"], changed["description"]) == ("Sea birds", "of the coast")
    assert me.delete(path).status_code == 200
    assert me.get(path).status_code == 404


def test_pages_hold_every_project_once(me: httpx.Client) -> None:
    made = [me.post("/api/v1/projects", json={"name": f"P{n}"}).json()["id"] for n in range(7)]
    seen: list[int] = []
    cursor = None
    while True:
        page = me.get("/api/v1/projects", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [project["id"] for project in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == sorted(made, reverse=True)


def test_what_is_not_yours_is_not_there(me: httpx.Client, other: httpx.Client) -> None:
    path = f"/api/v1/projects/{me.post('/api/v1/projects', json={'name': 'Mine'}).json()['id']}"
    for answer in (other.get(path), other.patch(path, json={"name": "Yours"}), other.delete(path)):
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"
    assert other.get("/api/v1/projects").json()["items"] == []


def test_a_problem_has_one_shape(served: Served, me: httpx.Client) -> None:
    answer = me.post("/api/v1/projects", json={"name": "", "colour": 1}, headers={"X-Request-ID": "abc-1"})
    assert answer.status_code == 422
    body = answer.json()
    assert body["request_id"] == answer.headers["X-Request-ID"] == "abc-1"
    assert set(body) == {"code", "message", "details", "request_id"}
    assert set(body["details"]["fields"]) == {"body.name", "body.colour"}
    with served.anonymous() as nobody:
        answer = nobody.get("/api/v1/projects")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_logged_in")


def test_a_cookie_alone_changes_nothing(me: httpx.Client) -> None:
    del me.headers["X-CSRF-Token"]
    assert me.post("/api/v1/projects", json={"name": "Forged"}).status_code == 403
    assert me.get("/api/v1/projects").json()["items"] == []


def test_every_answer_has_the_security_headers(served: Served) -> None:
    with served.anonymous() as nobody:
        headers = nobody.get("/api/v1/projects").headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
