"""Takedowns through the API: gone everywhere, refused when met again."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.models import CrawlJob, Image
from backend.models.enums import Role
from backend.services import takedowns
from gleanset.store import Store, blob_key, thumbnail_key
from gleanset.types import Reason
from tests.api.albums import gathered, pictures
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
        assert (row.filename, row.storage_url, row.sha256, row.pdq) == (None,) * 4
        assert job.row(CrawlJob, job.job_id).downloaded_images == 2
    assert jobs[0].row(CrawlJob, jobs[0].job_id).valid_images == 2
    for key in (blob_key(digest, "jpeg"), thumbnail_key(blob_key(digest, "jpeg"))):
        assert served.run(lambda _, key=key: store.length(key)) is None
    with served.browser(jobs[0].user_id) as client:
        assert client.get(f"/api/v1/images/{jobs[0].images[1]}/file").status_code == 404
        assert client.get(f"/api/v1/images/{jobs[0].images[0]}/file").status_code == 200


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


def test_a_takedown_names_one_thing(served: Served) -> None:
    with served.browser(served.person(Role.MODERATOR)) as client:
        for body in ({}, {"url": "https://example.org/1", "sha256": "0" * 64}, {"sha256": "xyz"}, {"url": "a\0"}):
            assert client.post(PATH, json=body).status_code == 422
