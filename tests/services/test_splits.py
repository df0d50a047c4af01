"""A division is gone through from any place, and a second run of the task finds the same."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from backend.models import ExportJob, Project
from backend.models.enums import Choice, JobStatus
from backend.schemas.exports import StoredOptions
from backend.services import crawl_jobs, decisions, exports
from backend.services.images import insert_outcomes
from backend.services.splits import Division
from gleanset.export.split import Assignment
from tests.services.helpers import Place, downloaded


def test_a_division_goes_on_behind_any_position() -> None:
    rng = np.random.default_rng(3)
    ids = np.sort(rng.choice(2**40, 1300, replace=False)).astype(np.int64)
    split = rng.integers(-1, 3, len(ids)).astype(np.int8)
    made = Division.of(ids, Assignment(names=("train", "dev", "test"), split=split, group=ids.astype(np.uint64)))
    places = [place for page in made.pages(0) for place in page]
    expected = [(name, i) for n, name in enumerate(made.names) for i in ids[split == n].tolist()]
    assert [(place.split, place.image_id) for place in places] == expected
    assert all(place.group == f"{place.image_id:016x}" for place in places)
    positions = [place.position for place in places]
    assert positions == sorted(set(positions))
    assert positions[0] > 0
    for at in (1, 499, 500, 777, len(places) - 1, len(places)):
        assert [place for page in made.pages(positions[at - 1]) for place in page] == places[at:]


@pytest.mark.parametrize("first_is_done", [False, True])
async def test_a_second_run_keeps_to_what_the_first_has_found(place: Place, first_is_done: bool) -> None:
    """Between the two a person rejects some images, also such as tied others together."""
    looks = [hashlib.sha256(f"look {n // 3}".encode()).digest() for n in range(90)]
    async with place.database.transaction() as session:
        project = await session.get_one(Project, place.project_id)
        crawl = await crawl_jobs.create(session, project, "A job", ["x"], crawl_jobs.CrawlPlan(), 1000)
        images = [downloaded(str(n), pdq=look) for n, look in enumerate(looks)]
        await insert_outcomes(session, crawl.id, images, lambda key: f"file:///{key}", None)
        crawl.status = JobStatus.COMPLETED.value
        options = StoredOptions.model_validate({"split": {"folds": 3, "related": ["near_duplicates"]}})
        made = await exports.create(session, crawl, place.owner_id, "zip", options)
    async with place.database.transaction() as session:
        job = await exports.begin(session, made.id)
    assert job is not None
    before = await exports.divide(place.database, job)
    assert before is not None
    before_of = {p.image_id: p.split for page in before.pages(0) for p in page}
    assert len(set(before_of.values())) == 3
    rejected = [image_id for n, image_id in enumerate(sorted(before_of)) if n % 3 == 1]
    async with place.database.transaction() as session:
        project = await session.get_one(Project, place.project_id)
        await decisions.decide(session, project, rejected, Choice.REJECT, user_id=place.owner_id)
        if first_is_done:
            await exports.fail(session, job.id, job.attempts, "lost")
            await exports.retry(session, job.id)
    async with place.database.transaction() as session:
        again = await exports.begin(session, made.id)
    assert again is not None
    after = await exports.divide(place.database, again)
    assert after is not None
    after_of = {p.image_id: p.split for page in after.pages(0) for p in page}
    assert after_of == {image_id: split for image_id, split in before_of.items() if image_id not in rejected}
    async with place.database.transaction() as session:
        now = await session.get_one(ExportJob, made.id)
    assert (sum(now.splits.values()), now.total_images, now.moved_images) == (60, 60, 0)
