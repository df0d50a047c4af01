"""Requests that are sent twice make one job, also when both are sent at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.serving import Served

JOBS = "/api/v1/crawl-jobs"


def wanted(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    project = client.post("/api/v1/projects", json={"name": "Birds"}).json()["id"]
    return {"project_id": project, "name": "Terns", "keywords": ["tern"]} | fields


def send(client: httpx.Client, body: dict[str, Any], key: str) -> httpx.Response:
    return client.post(JOBS, json=body, headers={"Idempotency-Key": key})


def test_the_same_request_again_gets_the_same_job(me: httpx.Client, other: httpx.Client) -> None:
    body = wanted(me)
    first, again = send(me, body, "one"), send(me, dict(reversed(body.items())), "one")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert send(me, body, "two").json()["id"] != first.json()["id"]
    assert len(me.get(JOBS).json()["items"]) == 2
    assert send(other, wanted(other), "one").json()["id"] != first.json()["id"]


def test_the_key_of_another_request_is_a_conflict(me: httpx.Client) -> None:
    body = wanted(me)
    made = send(me, body, "one").json()["id"]
    answer = send(me, body | {"name": "Gulls"}, "one")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert answer.json()["details"] == {"resource_type": "crawl_jobs", "resource_id": made}
    assert f"made the crawl job {made} " in answer.json()["message"]
    assert len(me.get(JOBS).json()["items"]) == 1


def test_a_key_whose_job_is_gone_is_a_conflict(me: httpx.Client) -> None:
    body = wanted(me)
    path = f"{JOBS}/{send(me, body, 'one').json()['id']}"
    me.post(f"{path}/cancel")
    assert me.delete(path).status_code == 204
    assert send(me, body, "one").status_code == 409


def test_a_request_that_failed_leaves_the_key_free(me: httpx.Client) -> None:
    body = wanted(me)
    assert send(me, body | {"options": {"sources": ["flickr"]}}, "one").status_code == 422
    assert send(me, body, "one").status_code == 201


def test_a_key_that_is_none_is_refused(me: httpx.Client) -> None:
    body = wanted(me)
    for key in ("", "x" * 201, "with space"):
        assert send(me, body, key).status_code == 422
    assert me.get(JOBS).json()["items"] == []


def test_twins_at_the_same_moment_make_one_job(served: Served, me: httpx.Client) -> None:
    body = wanted(me)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: send(me, body, "race"), range(36)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(me.get(JOBS).json()["items"]) == 1
