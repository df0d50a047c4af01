"""Groups of copies on the validation page: one is kept, the others are rejected, without a script."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import ActivityLog, CrawlJob
from tests.api.albums import Gathered, gathered, picture
from tests.serving import Served


@pytest.fixture
def job(served: Served) -> Gathered:
    """A picture in three sizes, the smallest twice with the same bytes, and another by itself."""
    small = picture("china", 320)
    return gathered(
        served, served.person(), [small, picture("china", 640), picture("flower", 320), small, picture("china", 480)]
    )


@pytest.fixture
def me(served: Served, job: Gathered) -> Iterator[httpx.Client]:
    with served.browser(job.user_id, follow_redirects=True) as client:
        client.headers["Accept"] = "text/html"
        yield client


def activity(job: Gathered) -> list[str]:
    async def look(session: AsyncSession) -> list[str]:
        query = select(ActivityLog.action).where(ActivityLog.user_id == job.user_id).order_by(ActivityLog.id)
        return [action for action in await session.scalars(query) if action.startswith("decisions")]

    return job.served.run(look)


def test_the_best_is_kept_and_the_others_are_rejected(me: httpx.Client, job: Gathered) -> None:
    small, best, _, twin, middle = job.images
    page = f"/jobs/{job.job_id}/validation"
    assert "The same bytes more than once" in me.get(page).text  # before anything was judged
    job.validate(near_duplicate_distance=31)
    text = me.get(page).text
    assert text.count(f'action="/jobs/{job.job_id}/copies/') == 2  # near ones, and those of the same bytes
    assert text.index(f"Image {best},") < text.index(f"Image {small},") < text.index(f"Image {middle},")
    assert job.row(CrawlJob, job.job_id).valid_images == 2

    done = me.post(f"/jobs/{job.job_id}/copies/{best}", data={"keep": str(best)})
    assert f"Image {best} is kept, 2 copies rejected." in done.text
    assert job.decided() == {0: "reject", 1: "keep", 3: "reject", 4: "reject"}
    assert activity(job) == ["decisions.made", "decisions.made"]

    me.post(f"/jobs/{job.job_id}/copies/{best}", data={"keep": str(middle)})
    assert job.decided() == {0: "reject", 1: "reject", 3: "reject", 4: "keep"}
    assert job.row(CrawlJob, job.job_id).valid_images == 2
    me.post(f"/jobs/{job.job_id}/copies/{best}", data={"undo": str(best)})
    me.post(f"/jobs/{job.job_id}/copies/{best}", data={"reject": str(twin)})
    assert job.decided() == {0: "reject", 3: "reject", 4: "keep"}

    me.post(f"/jobs/{job.job_id}/copies/{small}", data={"keep": str(twin)})  # of the same bytes: no other to reject
    assert job.decided() == {0: "keep", 3: "keep", 4: "keep"}


def test_what_is_no_group_is_left_alone(me: httpx.Client, job: Gathered) -> None:
    job.validate(near_duplicate_distance=31)
    alone, best = job.images[2], job.images[1]
    for original, asked in (
        (alone, {"keep": str(alone)}),
        (best, {"keep": str(alone)}),
        (2 * 10**9, {"keep": str(best)}),
    ):
        assert "are no group any more" in me.post(f"/jobs/{job.job_id}/copies/{original}", data=asked).text
    for asked in ({}, {"keep": "x"}, {"keep": str(10**30)}, {"keep": "-1"}):
        assert "Choose one of the copies first." in me.post(f"/jobs/{job.job_id}/copies/{best}", data=asked).text
    assert job.decided() == {}
    assert me.post(f"/jobs/{job.job_id}/copies/{10**30}", data={"keep": "1"}).status_code in {404, 422}
    assert me.get(f"/jobs/{job.job_id}/validation?place={10**30}").status_code == 422
    assert "There are no more groups." in me.get(f"/jobs/{job.job_id}/validation?place=900").text


def test_nobody_else_decides(served: Served, job: Gathered) -> None:
    job.validate(near_duplicate_distance=31)
    with served.browser(served.person()) as other:
        answer = other.post(f"/jobs/{job.job_id}/copies/{job.images[1]}", data={"keep": str(job.images[1])})
    assert answer.status_code == 404
    with served.browser(job.user_id) as mine:
        mine.headers.pop("X-CSRF-Token", None)
        answer = mine.post(
            f"/jobs/{job.job_id}/copies/{job.images[1]}", data={"keep": str(job.images[1]), "csrf_token": "x"}
        )
    assert answer.status_code == 403
    assert job.decided() == {}


def test_what_stands_for_a_copy_may_be_of_an_earlier_job(served: Served, me: httpx.Client, job: Gathered) -> None:
    """The group tells so, and may be turned round: then the earlier picture is rejected, in its job too."""
    second = gathered(served, job.user_id, [picture("china", 320), picture("flower", 400)], project_id=job.project_id)
    assert me.get(f"/jobs/{second.job_id}/validation").text.count("rule_across_jobs") > 0
    second.validate(across_jobs=True)
    first, copy, link = job.images[0], second.images[0], '<a href="/jobs/{0}">job {0}</a>'
    text = me.get(f"/jobs/{second.job_id}/validation").text
    assert text.index(f"Image {first},") < text.index(f"of {link.format(job.job_id)}") < text.index(f"Image {copy},")
    assert f"of {link.format(second.job_id)}" not in text
    done = me.post(f"/jobs/{second.job_id}/copies/{first}", data={"keep": str(copy)})
    assert f"Image {copy} is kept, 0 copies rejected." in done.text

    other = gathered(served, job.user_id, [picture("china", 320)])
    done = me.post(f"/jobs/{other.job_id}/copies/{first}", data={"keep": str(first)})
    assert "These copies are no group any more" in done.text  # nobody reaches into another project
