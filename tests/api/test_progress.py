"""Where a run stands."""

from __future__ import annotations

from pathlib import Path

import httpx

from gleanset.types import Query, Reason
from tests.api.helpers import Jobs
from tests.services.helpers import downloaded, failed
from tests.serving import Served


def test_the_parts_add_up_to_the_whole(served: Served, tmp_path: Path) -> None:
    person = served.person()
    jobs = Jobs.of(served, person, tmp_path)
    queries = [Query(source=source, label=label, keyword="x") for source in ("met", "nasa") for label in ("cat", "dog")]
    job, [chunk, *_] = jobs.do(jobs.place.asked(queries, 10))
    held = jobs.do(jobs.place.claim(chunk))
    jobs.do(jobs.place.record(held, [downloaded("a"), failed("b"), downloaded("c")]))
    with served.browser(person) as me:
        now = me.get(f"/api/v1/crawl-jobs/{job.id}/progress").json()
    assert (now["status"], now["settled"], now["failures"]) == ("running", False, {Reason.NOT_FOUND: 1})
    assert now["crawl_job"]["downloaded_images"] == 2
    assert [(part["name"], part["downloaded"]) for part in now["sources"]] == [("met", 2), ("nasa", 0)]
    assert [(part["name"], part["downloaded"]) for part in now["labels"]] == [("cat", 2), ("dog", 0)]
    assert sum(part["wanted"] for part in now["sources"]) == sum(part["wanted"] for part in now["labels"]) == 10
    assert [part["status"] for part in now["chunks"]] == ["running", "pending", "pending", "pending"]
    assert now["bytes"] == 100_000
    assert 0 < now["seconds_left"] < 1000


def test_what_a_list_holds_is_what_is_wanted_and_unknown_stays_unknown(served: Served, tmp_path: Path) -> None:
    person = served.person()
    jobs = Jobs.of(served, person, tmp_path)
    slices = [Query(source="urls", label=label, options={"count": 30}) for label in ("a", "b")]
    listed, _ = jobs.do(jobs.place.asked(slices, 100))
    website, _ = jobs.do(jobs.place.asked([Query(source="known", label="known", options={})], 100))
    with served.browser(person) as me:
        assert me.get(f"/api/v1/crawl-jobs/{listed.id}/progress").json()["sources"] == [
            {"name": "urls", "wanted": 60, "downloaded": 0}
        ]
        assert me.get(f"/api/v1/crawl-jobs/{website.id}/progress").json()["seconds_left"] is None


def test_a_long_strip_is_thinned_and_still_spans_the_job(served: Served, tmp_path: Path) -> None:
    person = served.person()
    jobs = Jobs.of(served, person, tmp_path)
    slices = [Query(source="urls", label="a", options={"count": 1}) for _ in range(1201)]
    job, _ = jobs.do(jobs.place.asked(slices, 2000))
    with served.browser(person) as me:
        places = [chunk["position"] for chunk in me.get(f"/api/v1/crawl-jobs/{job.id}/progress").json()["chunks"]]
    assert places == list(range(0, 1201, 3))


def test_jobs_of_others_and_impossible_numbers_are_not_there(
    served: Served, me: httpx.Client, other: httpx.Client, tmp_path: Path
) -> None:
    person = served.person()
    job, _ = Jobs.of(served, person, tmp_path).do(Jobs.of(served, person, tmp_path).place.started())
    for number in (job.id, 0, -1, 2**31, 10**30):
        assert me.get(f"/api/v1/crawl-jobs/{number}/progress").status_code in {404, 422}
