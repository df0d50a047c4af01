"""Decisions through the API: they win over verdicts, hold for the bytes, and leave their trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import ActivityLog, CrawlJob, ExportJob
from backend.services import exports
from tests.api.albums import Gathered, gathered, picture, pictures
from tests.serving import Served

FILES = [*pictures(4), picture("chelsea", 40)]  # the last one is too small for the rule below


def exported(job: Gathered) -> dict[int, str | None]:
    """What an export made now packs: places of FILES, and the decision in their rows."""

    async def make(session: AsyncSession) -> ExportJob:
        crawl_job = await session.get_one(CrawlJob, job.job_id)
        made = await exports.create(session, crawl_job, job.user_id)
        begun = await exports.begin(session, made.id)
        assert begun is not None
        return begun

    made = job.served.run(make)

    async def read(_: AsyncSession) -> list[Any]:
        return [entry async for entry in exports.entries(job.served.database, made, 0)]

    entries = job.served.run(read)
    assert len(entries) == made.total_images
    return {int(entry.original_url.rpartition("/")[2].split(".")[0]): entry.decision for entry in entries}


def decide(client: httpx.Client, job: Gathered, choice: str, *places: int, **more: Any) -> httpx.Response:
    body = {"choice": choice, "image_ids": [job.images[place] for place in places]}
    return client.post(f"/api/v1/projects/{job.project_id}/decisions", json=body | more)


def undo(client: httpx.Client, job: Gathered, *places: int) -> httpx.Response:
    body = {"image_ids": [job.images[place] for place in places]}
    return client.request("DELETE", f"/api/v1/projects/{job.project_id}/decisions", json=body)


def valid(job: Gathered) -> int:
    return int(job.row(CrawlJob, job.job_id).valid_images)


def test_decisions_win_over_verdicts_and_the_count_follows(served: Served) -> None:
    job = gathered(served, served.person(), FILES)
    with served.browser(job.user_id) as client:
        assert list(exported(job)) == [0, 1, 2, 3, 4]
        decide(client, job, "reject", 3)
        assert list(exported(job)) == [0, 1, 2, 4]  # before anything is judged
        assert valid(job) == 0
        job.validate(min_width=100)
        assert valid(job) == 3  # four are large enough, and one of these is rejected
        assert decide(client, job, "reject", 0, 1).json() == {"pictures": 2, "images": 2}
        assert decide(client, job, "keep", 4, note="  so small  ").status_code == 200
        assert exported(job) == {2: None, 4: "keep"}
        assert valid(job) == 2
        decide(client, job, "keep", 0)
        assert exported(job) == {0: "keep", 2: None, 4: "keep"}
        assert undo(client, job, 1, 2, 4).json() == {"pictures": 2, "images": 3}
        assert exported(job) == {0: "keep", 1: None, 2: None}
        assert valid(job) == 3
        job.validate(min_width=100)
        assert valid(job) == 3


def test_what_was_rejected_stays_rejected_when_it_is_found_again(served: Served) -> None:
    first = gathered(served, served.person(), FILES)
    first.validate()
    with served.browser(first.user_id) as client:
        decide(client, first, "reject", 0, 2, note="blurred")
        again = gathered(served, first.user_id, FILES, project_id=first.project_id)
        again.validate()
        assert list(exported(again)) == [1, 3, 4]
        assert (valid(first), valid(again)) == (3, 3)
        path = f"/api/v1/crawl-jobs/{again.job_id}/images"
        items = client.get(path, params={"decision": "reject"}).json()["items"]
        assert [item["id"] for item in items] == [again.images[0], again.images[2]]
        assert [item["decision"] for item in items] == ["reject"] * 2
        detail = client.get(f"/api/v1/images/{again.images[0]}").json()
        assert (detail["decision"]["choice"], detail["decision"]["note"]) == ("reject", "blurred")
        assert detail["decision"]["user_id"] == str(first.user_id)
        assert undo(client, again, 0).json() == {"pictures": 1, "images": 2}  # both jobs have it
        assert (valid(first), valid(again)) == (4, 4)
    elsewhere = gathered(served, first.user_id, FILES)
    assert len(exported(elsewhere)) == 5


def test_keeping_a_picture_does_not_bring_its_copies_in(served: Served) -> None:
    job = gathered(served, served.person(), [picture("coffee"), picture("camera"), picture("coffee")])
    job.validate(min_width=2000)
    assert (valid(job), exported(job)) == (0, {})
    with served.browser(job.user_id) as client:
        assert decide(client, job, "keep", 2).json() == {"pictures": 1, "images": 2}
    assert exported(job) == {0: "keep"}
    assert valid(job) == 1


def test_decisions_are_listed_the_latest_first(served: Served) -> None:
    job = gathered(served, served.person(), FILES)
    with served.browser(job.user_id) as client:
        for place, choice in ((0, "keep"), (1, "reject"), (2, "keep"), (0, "reject")):
            decide(client, job, choice, place)
        path = f"/api/v1/projects/{job.project_id}/decisions"
        page = client.get(path, params={"limit": 2}).json()
        rest = client.get(path, params={"limit": 2, "cursor": page["next"]}).json()
        hashes = [client.get(f"/api/v1/images/{number}").json()["sha256"] for number in job.images]
    found = [(hashes.index(item["sha256"]), item["choice"]) for item in page["items"] + rest["items"]]
    assert found == [(0, "reject"), (2, "keep"), (1, "reject")]
    assert rest["next"] is None


def test_each_call_leaves_one_entry_in_the_log(served: Served) -> None:
    job = gathered(served, served.person(), FILES)
    with served.browser(job.user_id) as client:
        decide(client, job, "reject", 0, 1, 2, note="out of focus")
        undo(client, job, 0, 1)
        undo(client, job, 0, 1)
        decide(client, job, "keep", 0, 2)
        hashes = [client.get(f"/api/v1/images/{number}").json()["sha256"] for number in job.images]

    async def log(session: AsyncSession) -> list[tuple[str, Any]]:
        query = select(ActivityLog).filter_by(resource_type="projects", resource_id=str(job.project_id))
        entries = await session.scalars(query.order_by(ActivityLog.id))
        return [(entry.action, entry.metadata_) for entry in entries]

    made, undone, again = [entry for entry in served.run(log) if entry[0].startswith("decisions.")]
    assert made == (
        "decisions.made",
        {
            "from": {"undecided": 3},
            "to": {"reject": 3},
            "choice": "reject",
            "pictures": 3,
            "images": 3,
            "note": "out of focus",
            "decided_before": dict.fromkeys(hashes[:3]),
        },
    )
    assert undone[1] == {
        "from": {"reject": 2},
        "to": {"undecided": 2},
        "pictures": 2,
        "images": 2,
        "decided_before": dict.fromkeys(hashes[:2], "reject"),
    }
    assert (again[1]["from"], again[1]["to"]) == ({"undecided": 1, "reject": 1}, {"keep": 2})
    assert again[1]["decided_before"] == {hashes[0]: None, hashes[2]: "reject"}


def test_who_may_decide_and_about_what(served: Served, other: httpx.Client) -> None:
    job = gathered(served, served.person(), FILES[:1])
    elsewhere = gathered(served, job.user_id, FILES[1:2])
    path = f"/api/v1/projects/{job.project_id}/decisions"
    with served.browser(job.user_id) as client:
        [lost] = client.get(f"/api/v1/crawl-jobs/{job.job_id}/images", params={"outcome": "failed"}).json()["items"]
        for ids, status in (
            ([elsewhere.images[0]], 404),
            ([job.images[0], 2**63 - 1], 404),
            ([lost["id"]], 422),
            ([], 422),
            ([0], 422),
            ([10**30], 422),
            (list(range(1, 1002)), 422),
        ):
            body = {"image_ids": ids}
            assert client.post(path, json=body | {"choice": "keep"}).status_code == status
            assert client.request("DELETE", path, json=body).status_code == status
        assert decide(client, job, "maybe", 0).status_code == 422
        assert decide(client, job, "keep", 0, note="a\0b").status_code == 422
        assert client.get(path).json()["items"] == []
    assert decide(other, job, "keep", 0).status_code == 404
    assert undo(other, job, 0).status_code == 404
    assert other.get(path).status_code == 404


@pytest.mark.parametrize("turn", range(3))
def test_decisions_at_once_leave_exact_counts(served: Served, turn: int) -> None:
    job = gathered(served, served.person(), FILES)
    again = gathered(served, job.user_id, FILES, project_id=job.project_id)
    job.validate()
    again.validate()
    with served.browser(job.user_id) as client, ThreadPoolExecutor(6) as threads:
        places = [(n * 7 + turn) % 5 for n in range(24)]
        answers = threads.map(
            lambda pair: decide(client, (job, again)[pair[0] % 2], ("keep", "reject")[pair[0] % 3 == 0], pair[1]),
            enumerate(places),
        )
        assert {answer.status_code for answer in answers} == {200}
    assert (valid(job), valid(again)) == (len(exported(job)), len(exported(again)))
