"""Takedowns through the API: gone everywhere, refused when met again."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, ExportJob, Image, Project
from backend.models.enums import Choice, JobStatus, Role
from backend.services import crawl_jobs, decisions, deliveries, exports, takedowns, validation
from backend.services.images import insert_outcomes
from gleanset.export import Packed
from gleanset.store import Store, blob_key, thumbnail_key
from gleanset.types import Downloaded, Reason, ResizedFile
from tests.api.albums import Gathered, gathered, picture, pictures
from tests.services.helpers import candidate, downloaded
from tests.serving import Served

FILES = pictures(3)
PATH = "/api/v1/takedowns"


@pytest.mark.parametrize("by", ["url", "sha256"])
def test_an_image_is_removed_from_all_projects(served: Served, by: str) -> None:
    jobs = [gathered(served, served.person(), FILES) for _ in range(2)]
    jobs[0].validate()
    digest = hashlib.sha256(FILES[1]).hexdigest()
    store = Store(served.settings.store_place)
    with served.browser(jobs[0].user_id) as client:
        assert client.get(f"/api/v1/images/{jobs[0].images[1]}/thumbnail").status_code == 200
        assert client.post(PATH, json={"sha256": digest}).status_code == 403
    body = {"sha256": digest} if by == "sha256" else {"url": "https://cdn.example/1.jpg"}
    with served.browser(served.person(Role.MODERATOR)) as client:
        made = client.post(PATH, json=body | {"note": "asked by Ann"}).json()
        assert made["images"] >= 2
        again = client.post(PATH, json=body).json()
        assert (again["id"], again["images"]) == (made["id"], 0)
        assert made["id"] in [item["id"] for item in client.get(PATH).json()["items"]]
    for job in jobs:
        row = job.row(Image, job.images[1])
        assert (row.outcome, row.reason) == ("refused", "taken_down")
        assert (row.filename, row.storage_url, row.sha256, row.pdq, row.crc32) == (None,) * 5
        assert job.row(Image, job.images[0]).crc32 == zlib.crc32(FILES[0])
        assert job.row(CrawlJob, job.job_id).downloaded_images == 2
        with served.browser(job.user_id) as client:
            [part] = client.get(f"/api/v1/crawl-jobs/{job.job_id}/chunks").json()["items"]
        assert (part["downloaded_images"], part["reasons"]) == (2, {"not_found": 1, "taken_down": 1})
    assert jobs[0].row(CrawlJob, jobs[0].job_id).valid_images == 2
    for key in (blob_key(digest, "jpeg"), thumbnail_key(blob_key(digest, "jpeg"))):
        assert served.run(lambda _, key=key: store.length(key)) is None
    with served.browser(jobs[0].user_id) as client:
        assert client.get(f"/api/v1/images/{jobs[0].images[1]}/file").status_code == 404
        assert client.get(f"/api/v1/images/{jobs[0].images[0]}/file").status_code == 200


@pytest.mark.parametrize(
    "body", [{"url": "zzz"}, {"url": "ftp://example.org/1"}, {"sha256": "ab"}, {"url": "https://a b"}]
)
def test_what_is_neither_address_nor_hash_is_refused(served: Served, body: dict[str, str]) -> None:
    with served.browser(served.person(Role.MODERATOR)) as client:
        answer = client.post(PATH, json=body)
        assert (answer.status_code, [*answer.json()["details"]["fields"]]) == (422, [f"body.{next(iter(body))}"])
        page = client.post("/admin/takedowns", data={"image": next(iter(body.values()))})
        assert (page.status_code, "SHA-256 (64 hex digits), please" in page.text) == (422, True)


def test_a_takedown_is_withdrawn_and_what_was_erased_stays_erased(served: Served) -> None:
    own = {"url": "https://example.org/withdrawn.jpg"}
    job = gathered(served, served.person(), [picture("china", 222)], fields=lambda n: own if n == 0 else {})
    row = job.row(Image, job.images[0])
    digest = row.sha256
    assert digest is not None
    with served.browser(served.person(Role.MODERATOR)) as client:
        shown = client.post("/admin/takedowns", data={"image": row.original_url}, follow_redirects=True).text
        assert "1 image removed" in shown
        assert row.original_url in shown
        assert digest.hex() in shown, "the bytes were taken down with it"
        listed = client.get(PATH).json()["items"]
        [made] = [each for each in listed if each["url"] == row.original_url]
        assert client.delete(f"{PATH}/{made['id']}").status_code == 204
        assert client.delete(f"{PATH}/{made['id']}").status_code == 404
        left = client.get(PATH).json()["items"]
        assert len(left) == len(listed) - 2
        assert client.post("/admin/takedowns/1/withdraw", follow_redirects=True).text.count("tick the box first") == 1
    with served.browser(job.user_id) as client:
        assert client.delete(f"{PATH}/{made['id']}").status_code == 403
        assert client.get("/admin/takedowns").status_code == 403
        assert "/admin/takedowns" not in client.get("/").text
    assert job.row(Image, job.images[0]).sha256 is None
    store = Store(served.settings.store_place)
    assert served.run(lambda _: store.length(blob_key(digest.hex(), "jpeg"))) is None
    asked = [candidate("again", url=row.original_url)]
    assert not served.run(lambda session: takedowns.refused_urls(session, asked))


def test_bytes_that_were_taken_down_by_themselves_stay_refused_when_an_address_is_withdrawn(served: Served) -> None:
    own = {"url": "https://example.org/both.jpg"}
    job = gathered(served, served.person(), [picture("china", 223)], fields=lambda n: own if n == 0 else {})
    digest = job.row(Image, job.images[0]).sha256
    assert digest is not None
    with served.browser(served.person(Role.MODERATOR)) as client:
        by_url = client.post(PATH, json=own)
        assert by_url.status_code == 201, by_url.text
        assert client.post(PATH, json={"sha256": digest.hex()}).status_code == 201
        [made] = [each for each in client.get(PATH).json()["items"] if each["url"] == own["url"]]
        assert client.delete(f"{PATH}/{made['id']}").status_code == 204
        [bytes_] = [each for each in client.get(PATH).json()["items"] if each["sha256"] == digest.hex()]
        assert client.delete(f"{PATH}/{bytes_['id']}").status_code == 204


def test_what_is_met_again_is_refused(served: Served) -> None:
    mine, by_url, other = downloaded("taken"), downloaded("also"), downloaded("other")

    async def take(session: AsyncSession) -> None:
        for target in (
            {"url": None, "sha256": bytes.fromhex(mine.inspection.sha256)},
            {"url": by_url.final_url, "sha256": None},
        ):
            await takedowns.take_down(session, user_id=None, **target)

    async def meet(session: AsyncSession) -> Any:
        asked = [candidate("also", url=by_url.final_url), candidate("other")]
        return await takedowns.sift(session, [mine, by_url, other]), await takedowns.refused_urls(session, asked)

    served.run(take)
    (sifted, keys), urls = served.run(meet)
    assert [getattr(each, "reason", None) for each in sifted] == [Reason.TAKEN_DOWN, Reason.TAKEN_DOWN, None]
    assert keys == {mine.key, by_url.key}
    assert set(urls) == {by_url.final_url}


def test_a_blob_that_other_images_have_is_not_erased(served: Served) -> None:
    job = gathered(served, served.person(), [picture("china", 200)])
    owned = hashlib.sha256(picture("china", 200)).hexdigest()
    gone = "https://cdn.example/gone"
    redirected = replace(downloaded("x", sha256=owned), final_url=gone)
    shared = replace(with_copy("y", owned), final_url=gone)
    stays = downloaded("stays")
    twin = replace(downloaded("z", sha256=stays.inspection.sha256), final_url=gone)

    async def meet(session: AsyncSession) -> Any:
        await takedowns.take_down(session, url=gone, sha256=None, user_id=None)
        return await takedowns.sift(session, [redirected, shared, stays, twin])

    sifted, keys = served.run(meet)
    assert [isinstance(each, Downloaded) for each in sifted] == [False, False, True, False]
    assert keys == {shared.key}
    assert job.row(Image, job.images[0]).sha256 == bytes.fromhex(owned)


def with_copy(name: str, copy: str) -> Downloaded:
    return replace(downloaded(name), resized=ResizedFile(width=64, height=48, file_size=1000, sha256=copy))


@pytest.mark.parametrize("by", ["url", "sha256"])
def test_taken_down_again_it_tells_the_blobs_again(served: Served, by: str) -> None:
    job = gathered(served, served.person(), [picture("china", 210)])
    copy = hashlib.sha256(f"copy {by}".encode()).hexdigest()
    shared = hashlib.sha256(f"shared {by}".encode()).hexdigest()
    mine, also, other = with_copy(f"mine {by}", copy), with_copy(f"also {by}", shared), with_copy(f"other {by}", shared)
    also = replace(also, final_url=mine.final_url)
    target = {"url": mine.final_url, "sha256": None}
    if by == "sha256":
        target = {"url": None, "sha256": bytes.fromhex(copy)}

    async def record(session: AsyncSession) -> None:
        await insert_outcomes(session, job.job_id, [mine, also, other], lambda key: f"file:///{key}", None)

    async def take(session: AsyncSession) -> takedowns.TakenDown:
        return await takedowns.take_down(session, user_id=None, **target)

    served.run(record)
    first, again = served.run(take), served.run(take)
    assert (first.images, again.images) == (2 if by == "url" else 1, 0)
    assert first.keys == again.keys
    assert {mine.key, blob_key(copy, "jpeg")} < first.keys
    assert blob_key(shared, "jpeg") not in first.keys
    assert first.takedown.id == again.takedown.id


def test_an_export_is_marked_whose_image_was_kept_when_it_was_packed(served: Served) -> None:
    job = gathered(served, served.person(), [picture("china", 220), picture("flower", 220)])
    job.validate(min_width=10_000)
    kept, rejected = job.images

    async def decide(session: AsyncSession) -> None:
        project = await project_of(session, job)
        await decisions.decide(session, project, [kept], Choice.KEEP, user_id=job.user_id)
        await decisions.decide(session, project, [rejected], Choice.REJECT, user_id=job.user_id)

    async def begin(session: AsyncSession) -> ExportJob:
        made = await exports.create(session, await session.get_one(CrawlJob, job.job_id), job.user_id)
        assert await exports.begin(session, made.id)
        return made

    async def finish(session: AsyncSession, made: ExportJob) -> bool:
        packed = Packed(Path("a.zip"), 1, 9, "00" * 32)
        return await exports.finish(session, made.id, 1, packed, "file:///a.zip", days=1)

    async def undo(session: AsyncSession) -> None:
        await decisions.undo(session, await project_of(session, job), [kept], user_id=job.user_id)

    async def take(session: AsyncSession) -> takedowns.TakenDown:
        target = (await session.get_one(Image, rejected)).sha256
        await takedowns.take_down(session, url=None, sha256=target, user_id=None)
        target = (await session.get_one(Image, kept)).sha256
        return await takedowns.take_down(session, url=None, sha256=target, user_id=None)

    served.run(decide)
    completed, running = served.run(begin), served.run(begin)
    assert served.run(lambda session: finish(session, completed))
    served.run(undo)
    assert served.run(take).exports == 2
    with pytest.raises(deliveries.TakenDown, match="taken down meanwhile"):
        served.run(lambda session: finish(session, running))
    for made, status in ((completed, JobStatus.COMPLETED), (running, JobStatus.RUNNING)):
        row = job.row(ExportJob, made.id)
        assert (row.status, row.taken_down_images) == (status, 1)


async def project_of(session: AsyncSession, job: Gathered) -> Project:
    return await session.get_one(Project, job.project_id)


def test_what_is_taken_down_during_a_validation_does_not_count_as_valid(served: Served) -> None:
    job = gathered(served, served.person(), [picture("china", width) for width in (230, 240, 250)])

    async def begin(session: AsyncSession) -> int:
        made = await validation.create(session, await crawl_jobs.finished(session, job.job_id), {}, user_id=job.user_id)
        await validation.begin(session, made.id)
        return made.id

    async def take(session: AsyncSession) -> None:
        target = (await session.get_one(Image, job.images[1])).sha256
        await takedowns.take_down(session, url=None, sha256=target, user_id=None)

    number = served.run(begin)
    assert served.do(validation.judge_alone(served.database, number))
    served.run(take)
    served.do(validation.judge_set(served.database, number, ([], [])))
    assert job.row(CrawlJob, job.job_id).valid_images == 2


def test_a_takedown_names_one_thing(served: Served) -> None:
    with served.browser(served.person(Role.MODERATOR)) as client:
        for body in ({}, {"url": "https://example.org/1", "sha256": "0" * 64}, {"sha256": "xyz"}, {"url": "a\0"}):
            assert client.post(PATH, json=body).status_code == 422
