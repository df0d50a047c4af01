"""Validation by the API: rules refused and foretold, verdicts in pages, cancelled and tried again."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import Image, ValidationJob
from backend.services import validation
from gleanset.rules import LARGEST, LARGEST_FILE, LIMITS
from gleanset.types import Outcome
from tests.api import albums
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


FORETOLD = {
    "total": 20,
    "valid": 12,
    "invalid": {"min_width": 5, "max_brightness": 4, "exact_duplicate": 1},
    "not_judged": [],
}


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


def test_copies_of_earlier_jobs_are_foretold_as_a_worker_judges_them(served: Served, me: httpx.Client) -> None:
    hashes = [bytes(range(n, n + 32)) for n in range(0, 120, 30)]
    near = bytes([hashes[1][0] ^ 1]) + hashes[1][1:]
    first = gathered(served, me, [downloaded(f"a{n}", pdq=each) for n, each in enumerate(hashes[:2])])
    same = downloaded("a0", pdq=hashes[0]).inspection.sha256
    images = [downloaded("b0", pdq=hashes[0], sha256=same), downloaded("b1", pdq=near), downloaded("b2", pdq=hashes[3])]
    second = gathered(served, me, images, project_id=me.get(f"/api/v1/crawl-jobs/{first}").json()["project_id"])
    rules = {"across_jobs": "true", "near_duplicate_distance": 31}
    wanted = {"total": 3, "valid": 1, "invalid": {"exact_duplicate": 1, "near_duplicate": 1}, "not_judged": []}
    assert me.post(f"/api/v1/crawl-jobs/{second}/rules/preview", json={"rules": rules}).json() == wanted
    path = f"{JOBS}/{create(me, second, validation_rules=rules).json()['id']}"
    with worker(served):
        ended(me, path)
    assert me.get(f"{path}/summary").json() == wanted
    found = me.get(f"{path}/verdicts").json()["items"]
    there = me.get(f"/api/v1/crawl-jobs/{first}/images").json()["items"]
    assert [each["duplicate_of"] for each in found] == [*sorted(image["id"] for image in there), None]
    assert [path.name.partition("-")[2] for path in served.settings.indexes.iterdir()] == ["31"]


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
    assert foretold == me.get(f"{path}/summary").json() == {"total": 3, "valid": 3, "invalid": {}, "not_judged": []}


def test_no_rules_refuse_only_what_is_there_twice(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, outcomes())
    path = f"/api/v1/crawl-jobs/{job_id}/rules/preview"
    assert me.post(path, json={}).json() == {
        "total": 20,
        "valid": 19,
        "invalid": {"exact_duplicate": 1},
        "not_judged": [],
    }
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


def judged(served: Served, client: httpx.Client, job_id: int, rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = create(client, job_id, validation_rules=rules, **fields)
    assert answer.status_code == 201, answer.text
    number = answer.json()["id"]
    served.do(validation.judge(served.database, number))
    return client.get(f"{JOBS}/{number}").json()


def test_rules_have_a_name_and_a_hash(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, [downloaded("a")])
    shown = me.get("/api/v1/rules/presets").json()
    assert [each["name"] for each in shown] == ["lenient", "standard", "strict"]
    for each in shown:
        job = judged(served, me, job_id, {"preset": each["name"]})
        assert (job["rules_name"], job["rules_hash"], job["rules_version"]) == (each["name"], each["hash"], 1)
        assert job["validation_rules"] == each["rules"]
    own = judged(served, me, job_id, {"preset": "lenient", "min_width": None, "min_height": 65}, rules_name="ours")
    assert (own["rules_name"], own["validation_rules"]["min_height"]) == ("ours", 65)
    assert "min_width" not in own["validation_rules"]
    assert own["rules_hash"] not in {each["hash"] for each in shown}
    posing = create(me, job_id, validation_rules={"min_width": 1}, rules_name="strict")
    assert (posing.status_code, "give them another name" in posing.json()["message"]) == (422, True)
    unknown = create(me, job_id, validation_rules={"preset": "severe"})
    assert (unknown.status_code, "lenient, standard, strict" in unknown.json()["message"]) == (422, True)


def test_what_changed_between_two_validations_and_why(served: Served, me: httpx.Client, other: httpx.Client) -> None:
    job_id = gathered(served, me, outcomes())
    before = judged(served, me, job_id, {"min_width": 300, "max_brightness": 0.9})["id"]
    after = judged(served, me, job_id, {"min_width": 150, "max_brightness": 0.9, "min_sharpness": 1000})["id"]
    path = f"{JOBS}/{after}/changes"
    assert me.get(path, params={"since": before}).json() == {
        "same": 0,
        "became_valid": 0,
        "became_invalid": 12,
        "other_reasons": 8,
        "only_before": 0,
        "only_after": 0,
        "became_valid_by": {},
        "became_invalid_by": {"min_sharpness": 12},
        "rules": {"min_width": {"before": 300, "after": 150}, "min_sharpness": {"before": None, "after": 1000}},
    }
    back = me.get(f"{JOBS}/{before}/changes", params={"since": after}).json()
    assert (back["became_valid"], back["became_valid_by"]) == (12, {"min_sharpness": 12})
    found: list[dict[str, Any]] = []
    cursor = None
    while not found or cursor:
        asked = {"since": before, "change": "other_reasons", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = me.get(f"{path}/images", params=asked).json()
        found, cursor = found + page["items"], page["next"]
    assert len({each["image_id"] for each in found}) == len(found) == 8
    assert found[0]["before"]["reasons"] == ["min_width"]
    assert found[0]["after"]["reasons"] == ["min_sharpness"]
    assert len(me.get(f"{path}/images", params={"since": before}).json()["items"]) == 20
    elsewhere = judged(served, me, gathered(served, me, [downloaded("x")]), {})["id"]
    apart = me.get(path, params={"since": elsewhere})
    assert (apart.status_code, "no images in common" in apart.json()["message"]) == (422, True)
    assert other.get(path, params={"since": before}).status_code == 404
    theirs = judged(served, other, gathered(served, other, [downloaded("y")]), {})["id"]
    assert me.get(path, params={"since": theirs}).status_code == 404
    assert me.get(path).status_code == 422


def test_files_are_read_again(served: Served, me: httpx.Client) -> None:
    """Also those of resized copies, and only of images that are valid otherwise."""
    user = UUID(me.get("/api/v1/profile").json()["id"])
    job = albums.gathered(served, user, albums.pictures(5))
    paths = [served.settings.home / "images" / key for key in stored(served, job.job_id)]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-1] + b"x")
    paths[2].write_bytes(b"")
    rules = {"verify_files": True, "max_per_label": 1}
    told = me.post(f"/api/v1/crawl-jobs/{job.job_id}/rules/preview", json={"rules": rules}).json()
    assert told["not_judged"] == ["file_missing", "file_damaged"]
    path = f"{JOBS}/{create(me, job.job_id, validation_rules=rules).json()['id']}"
    with worker(served):
        done = ended(me, path)
    assert (done["status"], done["invalid_images"]) == ("completed", 4)
    reasons = [verdict["reasons"] for verdict in me.get(f"{path}/verdicts").json()["items"]]
    assert reasons == [["file_missing"], ["file_damaged"], ["file_damaged"], [], ["max_per_label"]]


def stored(served: Served, job_id: int) -> list[str]:
    async def keys(session: AsyncSession) -> list[str]:
        query = select(Image.filename).filter_by(crawl_job_id=job_id, outcome="downloaded").order_by(Image.id)
        return [f"{name[:2]}/{name}" for name in await session.scalars(query) if name]

    return served.run(keys)


WHOLE = ("min_width", "max_width", "min_height", "max_height", "min_file_size", "max_file_size", "max_per_label")
NUMBERS = [limit.rule for limit in LIMITS if limit.bound in {"min", "max"} and limit.most == math.inf]


def test_numbers_that_no_column_holds_are_refused_and_the_largest_are_not(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, outcomes())
    project_id = me.get(f"/api/v1/crawl-jobs/{job_id}").json()["project_id"]
    preview = f"/api/v1/crawl-jobs/{job_id}/rules/preview"
    for rule in WHOLE:
        most = LARGEST_FILE if "file" in rule else LARGEST
        assert me.post(preview, json={"rules": {rule: most}}).status_code == 200
        rules = {rule: most + 1}
        crawl = {"name": "J", "project_id": project_id, "keywords": ["cat"], "options": {"rules": rules}}
        for answer, place in (
            (me.post(preview, json={"rules": rules}), "body.rules"),
            (create(me, job_id, validation_rules=rules), "body.validation_rules"),
            (me.post("/api/v1/crawl-jobs", json=crawl), "body.options.rules"),
        ):
            assert (answer.status_code, [*answer.json()["details"]["fields"]]) == (422, [f"{place}.{rule}"])
        shown = me.post(f"/jobs/{job_id}/validation", data={f"rule_{rule}": str(most + 1), "action": "count"})
        assert (shown.status_code, f"up to {most}, not" in shown.text) == (422, True)
    for rule in set(NUMBERS) - set(WHOLE):
        for value in (1e308, 5e-324):
            assert me.post(preview, json={"rules": {rule: value}}).status_code == 200, rule
        for value in ("Infinity", "NaN"):
            body = f'{{"rules": {{"{rule}": {value}}}}}'
            refused = me.post(preview, content=body, headers={"Content-Type": "application/json"})
            assert [*refused.json()["details"]["fields"]] == [f"body.rules.{rule}"]


def test_rules_that_an_earlier_version_took_stand_beside_their_error(served: Served, me: httpx.Client) -> None:
    job_id = gathered(served, me, outcomes())
    number = create(me, job_id).json()["id"]

    async def spoil(session: AsyncSession) -> None:
        job = await session.get_one(ValidationJob, number)
        job.validation_rules = {"min_width": 2**40}

    served.run(spoil)
    with worker(served):
        job = ended(me, f"{JOBS}/{number}")
    sentence = f"The rule min_width wants a whole number up to {LARGEST}, not "
    assert (job["status"], job["error_message"]) == ("failed", f"{sentence}{2**40}.")
    shown = me.get(f"/jobs/{job_id}/validation")
    assert (shown.status_code, sentence in shown.text) == (200, True)
