"""Validation by the API: rules refused and foretold, verdicts in pages, cancelled and tried again."""

from __future__ import annotations

from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from gleanset.types import Outcome
from tests.api.gathered import gathered
from tests.api.working import ended, until, worker
from tests.services.helpers import downloaded, failed
from tests.serving import Served

JOBS = "/api/v1/validation-jobs"
RULES = {"min_width": 300, "max_brightness": 0.9}


def outcomes() -> list[Outcome]:
    """20 images: 5 narrow, 4 bright, 2 of them both, 1 the same bytes as another, and 3 that could not be had."""
    narrow = [downloaded(f"n{n}", width=200) for n in range(3)]
    both = [downloaded(f"b{n}", width=100, brightness=0.95) for n in range(2)]
    bright = [downloaded(f"h{n}", brightness=0.99) for n in range(2)]
    good = [downloaded(f"g{n}") for n in range(12)]
    twin = downloaded("twin", sha256=good[0].inspection.sha256)
    return [*narrow, *both, *bright, *good, twin, *(failed(f"f{n}") for n in range(3))]


FORETOLD = {"total": 20, "valid": 12, "invalid": {"min_width": 5, "max_brightness": 4, "exact_duplicate": 1}}


def create(client: httpx.Client, job_id: int, **fields: Any) -> httpx.Response:
    return client.post(JOBS, json={"crawl_job_id": job_id, "validation_rules": RULES} | fields)


def test_what_is_foretold_is_what_comes(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, outcomes())
    foretold = me.post(f"/api/v1/crawl-jobs/{job_id}/rules/preview", json={"rules": RULES})
    assert foretold.json() == FORETOLD
    assert served.run(verdicts) == 0
    answer = create(me, job_id, name="Strict")
    assert (answer.status_code, answer.json()["status"], answer.json()["name"]) == (201, "pending", "Strict")
    path = f"{JOBS}/{answer.json()['id']}"
    with worker(served):
        job = ended(me, path)
    assert (job["status"], job["validated_images"], job["invalid_images"]) == ("completed", 20, 8)
    assert me.get(f"{path}/summary").json() == FORETOLD
    assert [found["id"] for found in me.get(JOBS, params={"crawl_job_id": job_id}).json()["items"]] == [job["id"]]
    pages_of_verdicts(me, path)


def pages_of_verdicts(client: httpx.Client, path: str) -> None:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = client.get(f"{path}/verdicts", params={"limit": 7} | ({"cursor": cursor} if cursor else {})).json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    ids = [verdict["image_id"] for verdict in found]
    assert (len(ids), ids) == (20, sorted(set(ids)))
    assert sum(verdict["valid"] for verdict in found) == 12

    def only(**filters: Any) -> list[dict[str, Any]]:
        return client.get(f"{path}/verdicts", params=filters).json()["items"]

    assert only(valid=True) == [verdict for verdict in found if verdict["valid"]]
    assert only(valid=False) == [verdict for verdict in found if not verdict["valid"]]
    assert only(reason="min_width") == [verdict for verdict in found if "min_width" in verdict["reasons"]]
    assert len(only(reason="min_width", valid=False)) == 5
    assert only(reason="\0") == []


async def verdicts(session: AsyncSession) -> int:
    return (await session.scalars(text("SELECT count(*) FROM verdicts"))).one()


def test_images_without_a_measure_are_foretold_as_they_are_judged(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, [downloaded(f"m{n}") for n in range(3)])

    async def forget(session: AsyncSession) -> None:
        await session.execute(text("UPDATE images SET sharpness = NULL WHERE crawl_job_id = :job"), {"job": job_id})

    served.run(forget)
    rules = {"min_sharpness": 1000.0, "keep_duplicates": True}
    foretold = me.post(f"/api/v1/crawl-jobs/{job_id}/rules/preview", json={"rules": rules}).json()
    path = f"{JOBS}/{create(me, job_id, validation_rules=rules).json()['id']}"
    with worker(served):
        ended(me, path)
    assert foretold == me.get(f"{path}/summary").json() == {"total": 3, "valid": 3, "invalid": {}}


def test_no_rules_refuse_only_what_is_there_twice(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, outcomes())
    path = f"/api/v1/crawl-jobs/{job_id}/rules/preview"
    assert me.post(path, json={}).json() == {"total": 20, "valid": 19, "invalid": {"exact_duplicate": 1}}
    assert me.post(path, json={"rules": {"keep_duplicates": True}}).json()["valid"] == 20


def test_rules_that_cannot_be_are_refused_with_a_sentence(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, [])
    for rules, sentence in (
        ({"min_widht": 5}, "Did you mean min_width?"),
        ({"min_width": -1}, "wants a number from 0 up"),
        ({"min_width": 9, "max_width": 8}, "leave no image"),
    ):
        for answer in (
            create(me, job_id, validation_rules=rules),
            me.post(f"/api/v1/crawl-jobs/{job_id}/rules/preview", json={"rules": rules}),
        ):
            assert answer.status_code == 422
            assert sentence in answer.json()["message"]
    assert me.get(JOBS).json()["items"] == []


def test_a_validation_is_cancelled_and_tried_again(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, outcomes())
    path = f"{JOBS}/{create(me, job_id).json()['id']}"
    assert me.post(f"{path}/retry").json()["details"] == {"current": "pending"}
    assert me.post(f"{path}/cancel").json()["status"] == "cancelled"
    assert served.run(tasks) == 0
    assert me.post(f"{path}/cancel").json()["details"] == {"current": "cancelled"}
    assert me.post(f"{path}/retry").json()["status"] == "pending"
    assert served.run(tasks) == 1
    with worker(served):
        assert ended(me, path)["validated_images"] == 20
        until(lambda: me.get(f"/api/v1/crawl-jobs/{job_id}").json()["valid_images"] == 12)
    assert me.post(f"{path}/retry").status_code == 409


async def tasks(session: AsyncSession) -> int:
    query = text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'validation.run' AND status = 'todo'")
    return (await session.scalars(query)).one()


def test_a_crawl_job_under_way_is_not_judged(served: Served, me: httpx.Client, other: httpx.Client) -> None:
    job_id = gathered(served, me, [])

    async def go_on(session: AsyncSession) -> None:
        await session.execute(text("UPDATE crawl_jobs SET status = 'running' WHERE id = :job"), {"job": job_id})

    served.run(go_on)
    answer = create(me, job_id)
    assert (answer.status_code, answer.json()["details"]) == (409, {"current": "running"})
    assert create(other, job_id).status_code == 404


def test_what_is_not_yours_is_not_there(served: Served, me: httpx.Client, other: httpx.Client) -> None:
    job_id = gathered(served, me, outcomes())
    path = f"{JOBS}/{create(me, job_id).json()['id']}"
    for way in ("", "/verdicts", "/summary"):
        assert other.get(f"{path}{way}").status_code == 404
    for way in ("/cancel", "/retry"):
        assert other.post(f"{path}{way}").status_code == 404
    assert other.post(f"/api/v1/crawl-jobs/{job_id}/rules/preview", json={}).status_code == 404
    assert other.get(JOBS).json()["items"] == []


def test_a_validation_sent_twice_is_made_once(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, [])
    body = {"crawl_job_id": job_id, "validation_rules": RULES}
    answers = [me.post(JOBS, json=body, headers={"Idempotency-Key": "v"}).json()["id"] for _ in range(2)]
    assert len(set(answers)) == 1
    assert len(me.get(JOBS).json()["items"]) == 1
    assert me.post(JOBS, json=body | {"validation_rules": {}}, headers={"Idempotency-Key": "v"}).status_code == 409
