"""A division is gone through from any place, and a second run of the task finds the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select

from backend.models import CrawlJob, ExportJob, Project
from backend.models.enums import Choice, JobStatus
from backend.schemas.exports import StoredOptions
from backend.services import crawl_jobs, decisions, exports
from backend.services.images import insert_outcomes
from backend.services.splits import Division
from gleanset.export.split import Assignment
from gleanset.types import Downloaded
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


async def job_of(place: Place, images: Sequence[Downloaded]) -> int:
    async with place.database.transaction() as session:
        project = await session.get_one(Project, place.project_id)
        crawl = await crawl_jobs.create(
            session, project, "A job", ["x"], crawl_jobs.CrawlPlan(), 1000, user_id=place.owner_id
        )
        await insert_outcomes(session, crawl.id, images, lambda key: f"file:///{key}", None)
        crawl.status = JobStatus.COMPLETED.value
        return crawl.id


async def exported(place: Place, job_id: int, split: dict[str, Any]) -> int:
    async with place.database.transaction() as session:
        crawl = await session.get_one(CrawlJob, job_id)
        options = StoredOptions.model_validate({"split": split})
        return (await exports.create(session, crawl, place.owner_id, "zip", options)).id


async def divided(place: Place, export_id: int) -> tuple[ExportJob, dict[int, str]]:
    """The export as its task begins it, and the split of each image."""
    async with place.database.transaction() as session:
        job = await exports.begin(session, export_id)
    assert job is not None
    division = await exports.divide(place.database, job)
    assert division is not None
    return job, {each.image_id: each.split for page in division.pages(0) for each in page}


@pytest.mark.parametrize("is_divided", [False, True])
async def test_what_is_packed_comes_with_the_crc32_of_its_file(place: Place, is_divided: bool) -> None:
    sums = [0, 7, 0xFFFF_FFFF, None]
    job_id = await job_of(place, [replace(downloaded(str(n)), crc32=each) for n, each in enumerate(sums)])
    number = await exported(place, job_id, {"folds": 2, "related": []})
    job, _ = await divided(place, number)
    division = await exports.divide(place.database, job) if is_divided else None
    packed = [entry async for entry in exports.entries(place.database, job, 0, division)]
    assert {entry.title: entry.crc32 for entry in packed} == {str(n): each for n, each in enumerate(sums)}


@pytest.mark.parametrize("first_is_done", [False, True])
async def test_a_second_run_keeps_to_what_the_first_has_found(place: Place, first_is_done: bool) -> None:
    """Between the two a person rejects some images, also such as tied others together."""
    looks = [hashlib.sha256(f"look {n // 3}".encode()).digest() for n in range(90)]
    job_id = await job_of(place, [downloaded(str(n), pdq=look) for n, look in enumerate(looks)])
    number = await exported(place, job_id, {"folds": 3, "related": ["near_duplicates"]})
    job, before_of = await divided(place, number)
    assert len(set(before_of.values())) == 3
    rejected = [image_id for n, image_id in enumerate(sorted(before_of)) if n % 3 == 1]
    async with place.database.transaction() as session:
        project = await session.get_one(Project, place.project_id)
        await decisions.decide(session, project, rejected, Choice.REJECT, user_id=place.owner_id)
        if first_is_done:
            await exports.fail(session, job.id, job.attempts, "lost")
            await exports.retry(session, job.id, user_id=None)
    _, after_of = await divided(place, number)
    assert after_of == {image_id: split for image_id, split in before_of.items() if image_id not in rejected}
    async with place.database.transaction() as session:
        now = await session.get_one(ExportJob, number)
    assert (sum(now.splits.values()), now.total_images, now.moved_images) == (60, 60, 0)


async def test_an_export_keeps_to_all_versions_there_were_not_only_to_the_latest(place: Place) -> None:
    """Between two versions of one job there is one of another job, and one of a part."""
    first = [downloaded(str(n)) for n in range(60)]
    other = [downloaded(f"o{n}") for n in range(60)]
    all_of_them = [*first, *other, *(downloaded(f"n{n}") for n in range(60))]
    jobs = [await job_of(place, images) for images in (first, other, all_of_them)]

    async def packed(job_id: int) -> dict[str, str]:
        split = {"ratios": {"train": 0.6, "dev": 0.2, "test": 0.2}, "related": []}
        number = await exported(place, job_id, split)
        _, names = await divided(place, number)
        async with place.database.transaction() as session:
            now = await session.get_one(ExportJob, number)
            now.status = JobStatus.COMPLETED.value
            assert now.moved_images == 0
        rows = await place.rows("SELECT id, original_url FROM images WHERE crawl_job_id = %(job)s", job=job_id)
        return {url: names[image_id] for image_id, url in rows}

    before, between = [await packed(job_id) for job_id in jobs[:2]]
    assert await packed(jobs[1]) == between
    async with place.database.transaction() as session:
        deleted = select(ExportJob.id).order_by(ExportJob.id).offset(1).limit(1).scalar_subquery()
        await session.execute(delete(ExportJob).where(ExportJob.id == deleted))  # which led from one job to the other
    after = await packed(jobs[2])
    assert set(before.values()) == {"train", "dev", "test"}
    assert {url: after[url] for url in before} == before
    assert {url: after[url] for url in between} == between
    assert await packed(jobs[0]) == before
