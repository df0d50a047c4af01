"""What can be done with a job, its validations and exports, an image and a person, by forms of the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, ExportJob, Image, Profile, ValidationJob
from backend.models.enums import Role
from backend.services.exports import file_of
from tests.api.albums import Gathered, gathered, picture
from tests.serving import Served


@pytest.fixture
def job(served: Served) -> Gathered:
    return gathered(served, served.person(), [picture("china"), picture("flower")])


@pytest.fixture
def me(served: Served, job: Gathered) -> Iterator[httpx.Client]:
    with served.browser(job.user_id, follow_redirects=True) as client:
        client.headers["Accept"] = "text/html"
        yield client


def packed(job: Gathered, status: str = "completed") -> int:
    """An export whose file is there."""

    async def make(session: AsyncSession) -> int:
        made = ExportJob(crawl_job_id=job.job_id, user_id=job.user_id, name="Packed", status=status, format="zip")
        session.add(made)
        await session.flush()
        made.download_url = f"/api/v1/export-jobs/{made.id}/download"
        made.expires_at = datetime.now(UTC) + timedelta(days=1)
        made.sha256, made.file_size = b"x" * 32, 3
        return made.id

    number = job.served.run(make)
    file = file_of(job.served.settings.exports, job.row(ExportJob, number))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"zip")
    return number


def test_a_job_is_renamed_visited_again_and_deleted(served: Served, me: httpx.Client, job: Gathered) -> None:
    path = f"/jobs/{job.job_id}"
    assert "<h1>Gulls &amp; terns</h1>" in me.post(f"{path}/name", data={"name": "Gulls & terns"}).text
    assert "It keeps its name. At most 100 characters" in me.post(f"{path}/name", data={"name": "x" * 101}).text
    assert "It keeps its name. Please fill this in." in me.post(f"{path}/name", data={"name": " "}).text

    again = me.post(f"{path}/refresh")
    assert "visits the images of job" in again.text
    new = int(again.url.path.split("/")[2])
    assert new != job.job_id
    assert job.row(CrawlJob, new).options["refresh_of"] == job.job_id
    assert "Delete the job" not in again.text, "it is under way"
    busy = me.post(f"{path}/delete", data={"sure": "yes"})
    assert (busy.status_code, "is visiting the images of this one" in busy.text) == (409, True)

    me.post(f"/jobs/{new}/cancel")
    assert "tick the box first" in me.post(f"{path}/delete").text
    gone = me.post(f"{path}/delete", data={"sure": "yes"})
    assert gone.url.path == f"/projects/{job.project_id}"
    assert "The crawl job Gulls &amp; terns is deleted." in gone.text
    assert me.get(path).status_code == 404


def test_a_validation_is_cancelled_and_goes_on(served: Served, me: httpx.Client, job: Gathered) -> None:
    page = f"/jobs/{job.job_id}/validation"
    me.post(page, data={"rule_min_width": "10"})
    found = served.run(lambda session: session.scalar(select(ValidationJob).filter_by(crawl_job_id=job.job_id)))
    assert found is not None
    assert f'action="{page}/{found.id}/cancel"' in me.get(page).text
    text = me.post(f"{page}/{found.id}/cancel").text
    assert job.row(ValidationJob, found.id).status == "cancelled"
    assert f'action="{page}/{found.id}/retry"' in text
    me.post(f"{page}/{found.id}/retry")
    assert job.row(ValidationJob, found.id).status == "pending"
    other = gathered(served, job.user_id, [picture()])
    for wrong in (f"/jobs/{other.job_id}/validation/{found.id}/cancel", f"{page}/{found.id}/praise"):
        assert me.post(wrong).status_code == 404


def test_an_export_is_handed_on_by_a_link_and_removed(served: Served, me: httpx.Client, job: Gathered) -> None:
    number = packed(job)
    page = f"/jobs/{job.job_id}/exports"
    shown = me.post(f"{page}/{number}/link")
    assert shown.headers["Cache-Control"] == "no-store"
    [link] = re.findall(r'<code class="secret">([^<]+)</code>', shown.text)
    with served.anonymous() as nobody:
        answer = nobody.get(link.replace("&amp;", "&"))
        assert (answer.status_code, answer.content) == (200, b"zip")
    assert link not in me.get(page).text

    file = file_of(served.settings.exports, job.row(ExportJob, number))
    other = gathered(served, job.user_id, [picture()])
    assert me.post(f"/jobs/{other.job_id}/exports/{number}/delete").status_code == 404
    assert me.post(f"/jobs/{other.job_id}/exports/{number}/link").status_code == 404
    assert file.exists()
    assert "The export Packed is removed." in me.post(f"{page}/{number}/delete").text
    assert not file.exists()
    assert me.post(f"{page}/{packed(job, 'running')}/delete").status_code == 409


def test_an_export_with_what_was_taken_down_is_not_offered(served: Served, me: httpx.Client, job: Gathered) -> None:
    number = packed(job)
    page = f"/jobs/{job.job_id}/exports"
    offered = ("Check it and load it", "A link to hand on", f"/export-jobs/{number}/download", "badge completed")
    text = me.get(page).text
    assert [words in text for words in offered] == [True] * 4

    async def mark(session: AsyncSession) -> None:
        (await session.get_one(ExportJob, number)).taken_down_images = 1

    served.run(mark)
    text = me.get(page).text
    assert [words in text for words in offered] == [False] * 4
    assert '<span class="badge taken down">taken down</span>' in text
    assert "1 image of it was taken down since" in text

    came = {"Referer": str(me.base_url.join(f"{page}?a=b"))}
    for path, status in ((f"{page}/{number}/link", 410), (f"{page}/{number}/cancel", 409)):
        refused = me.post(path, headers=came)
        assert refused.status_code == status
        assert f'href="{page}?a=b">Go back</a>' in refused.text
        assert 'href="/">Go to the projects</a>' in refused.text
    elsewhere = me.post(f"{page}/{number}/link", headers={"Referer": "https://example.org/evil"})
    assert "Go back" not in elsewhere.text


def test_a_moderator_takes_a_picture_down(served: Served, me: httpx.Client, job: Gathered) -> None:
    job = gathered(served, job.user_id, [picture("china", 333)])  # of no other test: it goes from all jobs
    page = f"/images/{job.images[0]}"
    assert "Take it down" not in me.get(page).text
    assert me.post(f"{page}/takedown", data={"sure": "yes"}).status_code == 403
    with served.browser(served.person(Role.MODERATOR), follow_redirects=True) as moderator:
        moderator.headers["Accept"] = "text/html"
        assert "Take it down" in moderator.get(page).text
        assert "tick the box first" in moderator.post(f"{page}/takedown").text
        long = moderator.post(f"{page}/takedown", data={"sure": "yes", "note": "x" * 2001})
        assert "At most 2000 characters" in long.text
        assert job.row(Image, job.images[0]).outcome == "downloaded"
        done = moderator.post(f"{page}/takedown", data={"sure": "yes", "note": "Ann asked"})
        assert "Taken down, and refused from now on. It was in 0 exports." in done.text
        assert "Take it down" not in done.text
    row = job.row(Image, job.images[0])
    assert (row.outcome, row.reason, row.sha256) == ("refused", "taken_down", None)
    assert me.get(f"/api/v1/images/{job.images[0]}/file").status_code == 404


def test_an_admin_removes_a_person_with_their_projects(served: Served, job: Gathered) -> None:
    admin_id, person = served.person(Role.ADMIN), served.person()
    own = gathered(served, person, [picture()])

    def remove(client: httpx.Client, user_id: UUID, **fields: str) -> httpx.Response:
        return client.post(f"/admin/users/{user_id}/remove", data=fields)

    with served.browser(admin_id, follow_redirects=True) as admin:
        admin.headers["Accept"] = "text/html"
        admin.post(f"/admin/users/{person}/status", data={"disabled": "true"})
        assert f'action="/admin/users/{person}/remove"' in admin.get("/admin/users").text
        assert "tick the box first" in remove(admin, person).text
        assert "is removed, with all their projects." in remove(admin, person, sure="yes").text
        assert admin.get(f"/projects/{own.project_id}").status_code == 404
        itself = remove(admin, admin_id, sure="yes")
        assert (itself.status_code, "That is you." in itself.text) == (409, True)
    assert served.run(lambda session: session.get(Profile, person)) is None
    with served.browser(job.user_id) as user:
        assert remove(user, admin_id, sure="yes").status_code == 403
