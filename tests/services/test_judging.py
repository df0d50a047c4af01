"""Rules as SQL: what is foretold is what comes, and both are what the engine says of each image."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from backend.models import CrawlJob, ValidationJob
from backend.services import validation
from backend.services.foretelling import foretell
from backend.services.judging import bench_of, end_of, judge_each
from backend.services.states import locked
from gleanset.rules import Rules
from gleanset.types import Downloaded, Licence
from tests.services.helpers import Place, downloaded

BY = Licence("by", "4.0")
FAR = bytes(range(32)), bytes(255 - n for n in range(32)), bytes(32)


def varied() -> list[Downloaded]:
    """30 images that differ in all that rules look at."""
    found: list[Downloaded] = []
    for n, (width, brightness, turned) in enumerate(product((100, 480, 800), (0.05, 0.5, 0.95), (1, 6))):
        each = downloaded(
            f"v{n}", width=width, brightness=brightness, orientation=turned, animated=n % 5 == 0, entropy=n % 9,
            format=("jpeg", "png", "gif")[n % 3], file_size=1000 * n, sharpness=50.0 * n, contrast=0.02 * n,
            uniformity=n / 18, colour=5.0 * n, border=n / 20, alpha=n % 4 == 0,
        )  # fmt: skip
        licence = (BY, None, Licence("cc0"))[n % 3]
        sources: dict[str, Any] = {"licence": licence, "label": "ab"[n % 2], "creator": "Ann" if n % 4 else None}
        found.append(replace(each, candidate=replace(each.candidate, **sources)))
    twins = [downloaded(f"twin {n}", sha256=found[n].inspection.sha256, width=100 + 700 * (n % 2)) for n in range(9)]
    return [*found, *twins, *twins_of(downloaded("new"), 3)]


def twins_of(image: Downloaded, count: int) -> list[Downloaded]:
    return [
        replace(image, candidate=replace(image.candidate, url=f"https://example.org/more/{n}")) for n in range(count)
    ]


def under(code: str, image: Downloaded) -> Downloaded:
    return replace(image, candidate=replace(image.candidate, licence=Licence(code)))


async def job_of(place: Place, images: list[Downloaded]) -> int:
    job, [chunk] = await place.started(max_images=max(100, len(images)))
    held = await place.claim(chunk)
    await place.record(held, [*images], None, end=True)
    await place.end(held)
    return job.id


async def judged(place: Place, job_id: int, rules: dict[str, Any], indexes: Path | None = None) -> dict[str, list[str]]:
    """The reasons of each image by its URL; checks that it is what was foretold, and that it stays when done again."""
    async with place.database.transaction() as session:
        told = await foretell(session, job_id, Rules.parse(rules), indexes)
    async with place.database.transaction() as session:
        made = await validation.create(session, await locked(session, CrawlJob, job_id), rules, user_id=place.owner_id)
    await validation.judge(place.database, made.id, indexes=indexes)
    query = """
        SELECT original_url, reasons, valid FROM verdicts JOIN images ON images.id = image_id
        WHERE validation_job_id = %(job)s ORDER BY image_id
    """
    found = await place.rows(query, job=made.id)
    assert all(valid == (reasons == []) for _, reasons, valid in found)
    counts: dict[str, int] = {}
    for reason in (reason for _, reasons, _ in found for reason in reasons):
        counts[reason] = counts.get(reason, 0) + 1
    async with place.database.transaction() as session:
        done = await session.get_one(type(made), made.id)
        assert (done.status, done.total_images, done.validated_images) == ("completed", len(found), len(found))
        assert done.invalid_images == sum(not valid for *_, valid in found)
        assert (told.total, told.valid) == (len(found), len(found) - done.invalid_images)
        assert told.invalid == counts == await validation.invalid(session, made.id)
        done.status = "running"  # as if the end had been lost
    await validation.judge(place.database, made.id, indexes=indexes)
    assert await place.rows(query, job=made.id) == found
    return {url: reasons for url, reasons, _ in found}


EACH = [
    {"min_width": 200, "max_width": 700, "min_height": 480, "max_height": 480},
    {"min_file_size": 5000, "max_file_size": 12_000, "min_aspect_ratio": 0.9, "max_aspect_ratio": 1.1},
    {"min_sharpness": 120.5, "min_contrast": 0.07, "min_brightness": 0.1, "max_brightness": 0.9},
    {"min_entropy": 3, "max_entropy": 6, "animated": False, "formats": ["jpeg", "gif"]},
    {"animated": True, "orientation": ["portrait"]},
    {"max_uniformity": 0.5, "min_colour": 12, "max_border": 0.7},
    {"alpha": False, "greyscale": False},
    {"alpha": True, "greyscale": True},
    {"orientation": ["landscape", "square"], "licences": ["by", "unknown"]},
    {"licences": ["cc0"], "require_attribution": True},
]


async def test_what_each_image_breaks_is_what_the_engine_says(place: Place) -> None:
    images = varied()
    job_id = await job_of(place, images)
    for rules in EACH:
        found = await judged(place, job_id, rules | {"keep_duplicates": True})
        wanted = {i.candidate.url: Rules.parse(rules).broken_by(i.inspection, i.candidate) for i in images}
        assert found == wanted
        assert 0 < sum(bool(reasons) for reasons in found.values()) < len(images)


async def test_a_valid_one_of_the_same_bytes_stands_for_all(place: Place) -> None:
    """Copies may differ in what their sources say of them."""
    images = varied()
    job_id = await job_of(place, images)
    rules = {"licences": ["by-sa"]}  # that of the twins, which come last
    found = await judged(place, job_id, rules)
    groups: dict[str, list[list[str]]] = {}
    for image in images:
        groups.setdefault(image.inspection.sha256, []).append(found[image.candidate.url])
    for reasons in groups.values():
        assert sum("exact_duplicate" not in each for each in reasons) == 1
    first, twin = images[0], images[18]
    assert first.inspection.sha256 == twin.inspection.sha256
    assert found[first.candidate.url] == ["licences", "exact_duplicate"]
    assert found[twin.candidate.url] == []


async def test_of_a_label_the_first_valid_ones_stay_and_a_persons_choice_counts(place: Place) -> None:
    images = [downloaded(f"n{n}", width=100 if n < 2 else 640) for n in range(10)]
    job_id = await job_of(place, images)
    decide = "INSERT INTO decisions (project_id, sha256, choice) VALUES ({}, '\\x{}', '{}')"
    for number, choice in ((3, "reject"), (8, "keep")):
        sha256 = images[number].inspection.sha256
        await place.rows_of_nothing(decide.format(place.project_id, sha256, choice).replace(":", "\\:"))
    found = await judged(place, job_id, {"min_width": 200, "max_per_label": 3})
    capped = [n for n, image in enumerate(images) if found[image.candidate.url] == ["max_per_label"]]
    assert capped == [5, 6, 7, 9]
    # One that is kept though it is too small is packed too, so it has its place among the three.
    await place.rows_of_nothing(
        decide.format(place.project_id, images[0].inspection.sha256, "keep").replace(":", "\\:")
    )
    found = await judged(place, job_id, {"min_width": 200, "max_per_label": 3})
    assert found[images[0].candidate.url] == ["min_width"]
    capped = [n for n, image in enumerate(images) if found[image.candidate.url] == ["max_per_label"]]
    assert capped == [4, 5, 6, 7, 9]


@pytest.mark.parametrize("distance", [0, 31])
async def test_of_pictures_that_look_alike_the_best_valid_one_stays(place: Place, distance: int) -> None:
    one, other, nothing = FAR
    near = bytes([one[0] ^ 0b111]) + one[1:]
    images = [
        downloaded("small", pdq=one, width=320, height=240),
        downloaded("large but dark", pdq=one, width=6400, height=4800, brightness=0.01),
        downloaded("best", pdq=one, width=640, height=480),
        downloaded("near", pdq=near, width=500, height=400),
        downloaded("another", pdq=other),
        downloaded("flat", pdq=nothing, pdq_quality=0),
        downloaded("flat too", pdq=nothing, pdq_quality=0),
    ]
    job_id = await job_of(place, images)
    found = await judged(place, job_id, {"min_brightness": 0.1, "near_duplicate_distance": distance})
    names = {url.rpartition("/")[2]: reasons for url, reasons in found.items() if reasons}
    refused = {"small": ["near_duplicate"], "large but dark": ["min_brightness"]}
    assert names == refused | ({"near": ["near_duplicate"]} if distance else {})


async def test_of_copies_the_choice_of_a_person_stays_or_else_the_more_open_licence(place: Place) -> None:
    """And each verdict names the image that stands for the one refused."""
    one, other, third = FAR
    images = [
        under("by-nc-nd", downloaded("closed", pdq=one)),
        downloaded("unknown", pdq=one),
        under("by", downloaded("open", pdq=one)),
        downloaded("rejected", pdq=other, width=6400, height=4800),
        downloaded("large", pdq=other, width=640, height=480),
        downloaded("chosen", pdq=other, width=100, height=100),
        downloaded("too small", pdq=third, width=64, height=48),
        downloaded("its copy", pdq=third, width=200, height=100),
    ]
    job_id = await job_of(place, images)
    decide = "INSERT INTO decisions (project_id, sha256, choice) VALUES ({}, '\\x{}', '{}')"
    for number, choice in ((3, "reject"), (5, "keep"), (6, "keep")):
        sha256 = images[number].inspection.sha256
        await place.rows_of_nothing(decide.format(place.project_id, sha256, choice).replace(":", "\\:"))
    found = await judged(place, job_id, {"min_width": 100, "near_duplicate_distance": 31})
    names = {url.rpartition("/")[2]: reasons for url, reasons in found.items() if reasons}
    near = ["near_duplicate"]
    assert names == {"closed": near, "unknown": near, "large": near, "too small": ["min_width"], "its copy": near}
    stands = await place.rows(
        "SELECT i.original_url, o.original_url FROM verdicts AS v JOIN images AS i ON i.id = v.image_id"
        " JOIN images AS o ON o.id = v.duplicate_of"
    )
    assert {(one.rpartition("/")[2], other.rpartition("/")[2]) for one, other in stands} == {
        ("closed", "open"), ("unknown", "open"), ("large", "chosen"), ("its copy", "too small")
    }  # fmt: skip


async def begun(place: Place, images: int) -> int:
    job_id = await job_of(place, [downloaded(str(number), width=number) for number in range(100, 100 + images)])
    async with place.database.transaction() as session:
        made = await validation.create(
            session, await locked(session, CrawlJob, job_id), {"min_width": 104}, user_id=place.owner_id
        )
    return made.id


async def ended(place: Place, number: int) -> tuple[str, int, int, int]:
    [(status, judged, invalid)] = await place.rows(
        "SELECT status, validated_images, invalid_images FROM validation_jobs WHERE id = %(job)s", job=number
    )
    [(verdicts,)] = await place.rows("SELECT count(*) FROM verdicts WHERE validation_job_id = %(job)s", job=number)
    return status, judged, invalid, verdicts


async def test_batches_are_judged_at_once_and_whoever_goes_on_finds_no_gap(place: Place) -> None:
    number = await begun(place, 11)
    left = [1, 2, 3]

    with pytest.raises(IndexError):
        await validation.judge(place.database, number, left.pop, batch=3)
    status, judged, _, verdicts = await ended(place, number)
    assert status == "running"
    assert judged == verdicts < 11
    images = [image for (image,) in await place.rows("SELECT id FROM images ORDER BY id")]
    held = await place.rows("SELECT image_id FROM verdicts ORDER BY image_id")
    assert [image for (image,) in held] == images[:verdicts]

    await validation.judge(place.database, number)
    assert await ended(place, number) == ("completed", 11, 4, 11)


async def test_of_several_workers_at_one_validation_each_image_gets_one_verdict(place: Place) -> None:
    number = await begun(place, 15)
    await asyncio.gather(*(validation.judge(place.database, number, batch=2) for _ in range(3)))
    assert await ended(place, number) == ("completed", 15, 4, 15)
    await validation.judge(place.database, number)  # there is nothing left to do
    assert await ended(place, number) == ("completed", 15, 4, 15)


@pytest.mark.parametrize("seconds", [0.3, 3.0])
async def test_who_meets_another_workers_verdicts_goes_on_behind_them(place: Place, seconds: float) -> None:
    """The other takes less time, or more, than one has patience for. It is in the way of one's first batch only, and
    nothing of the next is written before that."""
    number = await begun(place, 11)
    async with place.database.transaction() as session:
        assert await validation.begin(session, number)
    async with place.database.transaction() as other:
        job = await other.get_one(ValidationJob, number)
        bench, rules = await bench_of(other, job), Rules.parse(job.validation_rules)
        assert await judge_each(other, bench, rules, 0, await end_of(other, bench, 0, 2)) == (2, 0)
        working = asyncio.create_task(validation.judge(place.database, number, batch=3))
        await asyncio.sleep(seconds)
        assert (await ended(place, number))[1:] == (0, 0, 0)  # it has written nothing, and has not given up
        assert not working.done()
        job = await locked(other, ValidationJob, number)
        job.validated_images = job.invalid_images = 2
    await working
    assert await ended(place, number) == ("completed", 11, 4, 11)


async def test_what_is_being_judged_when_its_validation_is_cancelled_is_not_written(place: Place) -> None:
    number = await begun(place, 9)
    left = [1, 2, 3]
    with pytest.raises(IndexError):
        await validation.judge(place.database, number, left.pop, batch=2)
    before = await ended(place, number)
    assert 0 < before[3] < 9
    async with place.database.transaction() as session:
        await validation.cancel(session, number, user_id=None)  # holds the job, so that those who judge wait for it
        working = asyncio.create_task(validation.judge_alone(place.database, number, batch=2))
        await asyncio.sleep(0.5)
        assert not working.done()
    assert not await working
    assert await ended(place, number) == ("cancelled", *before[1:])
