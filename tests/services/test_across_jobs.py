"""Copies of what earlier jobs of a project have: the earlier job keeps the picture, whatever becomes of either."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import select, text

from backend.models import Decision, Image, Project
from backend.models.enums import Choice
from backend.schemas.plans import CrawlPlan
from backend.services import crawl_jobs, decisions, takedowns
from gleanset.types import Downloaded
from tests.services.helpers import Place, downloaded
from tests.services.test_judging import job_of, judged, varied

ACROSS = {"across_jobs": True}
COPY = ["exact_duplicate"]


def again(image: Downloaded, name: str) -> Downloaded:
    """The same bytes from another place."""
    return replace(image, candidate=replace(image.candidate, url=f"https://elsewhere.example/{name}"))


async def refused(place: Place, job_id: int, **rules: Any) -> dict[str, list[str]]:
    """The reasons of the images that are not valid, by the ends of their URLs."""
    found = await judged(place, job_id, ACROSS | rules)
    return {url.rpartition("/")[2]: reasons for url, reasons in found.items() if reasons}


async def stand(place: Place) -> dict[str, tuple[str, int]]:
    """Which image of which job stands for each that was refused as a copy, by the latest validation of its job."""
    rows = await place.rows(
        "SELECT i.original_url, o.original_url, o.crawl_job_id FROM verdicts AS v JOIN images AS i ON i.id = v.image_id"
        " JOIN images AS o ON o.id = v.duplicate_of WHERE v.validation_job_id IN"
        " (SELECT max(id) FROM validation_jobs GROUP BY crawl_job_id)"
    )
    return {one.rpartition("/")[2]: (other.rpartition("/")[2], job) for one, other, job in rows}


async def choose(place: Place, image: Downloaded, choice: str) -> None:
    async with place.database.transaction() as session:
        await session.execute(
            text("INSERT INTO decisions (project_id, sha256, choice) VALUES (:project, :hash, :choice)"),
            {"project": place.project_id, "hash": bytes.fromhex(image.inspection.sha256), "choice": choice},
        )


async def test_of_three_jobs_the_first_that_has_the_bytes_keeps_them(place: Place) -> None:
    a, b, c, d = (downloaded(name) for name in "abcd")
    first = await job_of(place, [a, b])
    second = await job_of(place, [again(a, "a2"), again(a, "a2 too"), c])
    third = await job_of(place, [again(b, "b3"), again(c, "c3"), again(a, "a3"), d])
    assert await refused(place, first) == {}
    assert await refused(place, second) == {"a2": COPY, "a2 too": COPY}
    assert await refused(place, third) == {"b3": COPY, "c3": COPY, "a3": COPY}
    assert await stand(place) == {
        "a2": ("a", first), "a2 too": ("a", first), "b3": ("b", first), "c3": ("c", second), "a3": ("a", first)
    }  # fmt: skip
    assert await refused(place, first) == {}  # what came later changes nothing
    counts = [(await place.job(number)).valid_images for number in (first, second, third)]
    assert counts == [2, 1, 1]


async def test_without_the_rule_and_between_projects_nothing_is_compared(place: Place) -> None:
    await job_of(place, [downloaded("a")])
    second = await job_of(place, [again(downloaded("a"), "a2")])
    assert await judged(place, second, {}) == {"https://elsewhere.example/a2": []}
    async with place.database.transaction() as session:
        other = Project(name="Another", user_id=place.owner_id)
        session.add(other)
        await session.flush()
    elsewhere = replace(place, project_id=other.id)
    assert await refused(elsewhere, await job_of(elsewhere, [downloaded("a")])) == {}


async def test_what_does_not_belong_in_the_earlier_dataset_takes_nobodys_place(place: Place) -> None:
    """By its latest validation, by a person's choice, or because it is there no more."""
    small, fine, bad, gone = downloaded("small", width=64), downloaded("fine"), downloaded("bad"), downloaded("gone")
    first = await job_of(place, [small, fine, bad, gone])
    copies = [again(each, f"{name} 2") for each, name in ((small, "small"), (fine, "fine"), (bad, "bad"))]
    second = await job_of(place, copies)
    assert await refused(place, second) == {"small 2": COPY, "fine 2": COPY, "bad 2": COPY}  # the first is not judged
    await judged(place, first, {"min_width": 100})
    await choose(place, bad, "reject")
    assert await refused(place, second) == {"fine 2": COPY}
    await judged(place, first, {})
    assert await refused(place, second) == {"small 2": COPY, "fine 2": COPY}
    await judged(place, first, {"min_width": 100})
    await choose(place, small, "keep")
    assert await refused(place, second) == {"fine 2": COPY}  # a person keeps it
    await place.rows_of_nothing(f"DELETE FROM crawl_jobs WHERE id = {first}")
    assert await refused(place, second) == {}


async def test_what_was_taken_down_in_one_job_stands_for_nothing(place: Place) -> None:
    await job_of(place, [downloaded("a"), downloaded("b")])
    second = await job_of(place, [again(downloaded("b"), "b2"), downloaded("c")])
    async with place.database.transaction() as session:
        hash_ = bytes.fromhex(downloaded("b").inspection.sha256)
        await takedowns.take_down(session, url=None, sha256=hash_, user_id=None)
    assert await refused(place, second) == {}
    assert (await place.job(second)).valid_images == 1


async def test_a_picture_that_a_person_keeps_is_kept_in_every_job(place: Place) -> None:
    """Also when it breaks other rules; of a job's copies of the same bytes, one."""
    small, fine = downloaded("small", width=64), downloaded("fine")
    first = await job_of(place, [small, fine])
    second = await job_of(place, [again(small, "small 2"), again(small, "small too"), again(fine, "fine 2")])
    await choose(place, small, "keep")
    await judged(place, first, {"min_width": 100} | ACROSS)
    found = await refused(place, second, min_width=100)
    assert found == {"small 2": ["min_width"], "small too": ["min_width", *COPY], "fine 2": COPY}
    assert [(await place.job(number)).valid_images for number in (first, second)] == [2, 1]
    assert await exported(place, second) == [("small 2", "keep")]


async def test_a_copy_is_in_the_export_of_its_job_from_when_a_person_keeps_it(place: Place) -> None:
    await job_of(place, [downloaded("a"), downloaded("b")])
    copies = [again(downloaded("a"), "a2"), again(downloaded("a"), "a2 too"), again(downloaded("b"), "b2")]
    second = await job_of(place, [*copies, downloaded("c")])
    assert await refused(place, second) == {"a2": COPY, "a2 too": COPY, "b2": COPY}
    assert await exported(place, second) == [("c", None)]
    ids = [
        row[0] for row in await place.rows("SELECT id FROM images WHERE original_url = 'https://elsewhere.example/a2'")
    ]
    for choice, there in (("keep", ["a2", "c"]), ("reject", ["c"]), ("keep", ["a2", "c"]), (None, ["c"])):
        async with place.database.transaction() as session:
            project = await session.get_one(Project, place.project_id)
            if choice is None:
                await decisions.undo(session, project, ids, user_id=place.owner_id)
            else:
                await decisions.decide(session, project, ids, Choice(choice), user_id=place.owner_id)
        assert [name for name, _ in await exported(place, second)] == there
        assert (await place.job(second)).valid_images == len(there)


async def exported(place: Place, job_id: int) -> list[tuple[str, str | None]]:
    """What an export of the job has, by its latest validation: the ends of the URLs, and what a person decided."""
    [[number]] = await place.rows(f"SELECT max(id) FROM validation_jobs WHERE crawl_job_id = {job_id}")
    async with place.database.transaction() as session:
        query = select(Image.original_url, Decision.choice).where(Image.crawl_job_id == job_id).order_by(Image.id)
        found = await session.execute(decisions.chosen(query, place.project_id, number))
        return [(url.rpartition("/")[2], choice) for url, choice in found]


async def test_a_refresh_is_not_compared_with_what_it_refreshes(place: Place) -> None:
    async def refresh(of: int, images: list[Downloaded]) -> int:
        async with place.database.transaction() as session:
            project = await session.get_one(Project, place.project_id)
            made = await crawl_jobs.create(
                session, project, "Again", ["cat"], CrawlPlan(refresh_of=of), 100, user_id=project.user_id
            )
        number = await job_of(place, images)
        options = f"(SELECT options FROM crawl_jobs WHERE id = {made.id})"
        await place.rows_of_nothing(f"UPDATE crawl_jobs SET options = {options} WHERE id = {number}")
        return number

    a, b = downloaded("a"), downloaded("b")
    first = await job_of(place, [a])
    other = await job_of(place, [b])
    second = await refresh(first, [again(a, "a2"), again(b, "b2")])
    third = await refresh(second, [again(a, "a3"), again(b, "b3"), downloaded("c")])
    sibling = await refresh(first, [again(a, "a4"), downloaded("c")])
    assert await refused(place, second) == {"b2": COPY}
    assert await refused(place, third) == {"b3": COPY}
    assert await refused(place, sibling) == {}
    last = await job_of(place, [again(a, "a5"), again(downloaded("c"), "c5")])
    assert await refused(place, last) == {"a5": COPY, "c5": COPY}
    assert await stand(place) == {
        "b2": ("b", other), "b3": ("b", other), "a5": ("a", first), "c5": ("c", third)
    }  # fmt: skip


async def test_with_other_rules_all_that_is_foretold_comes(place: Place) -> None:
    images = varied()
    await judged(place, await job_of(place, images[::2]), {"min_width": 200})
    second = await job_of(place, images)
    had = await judged(place, second, {"max_per_label": 4, "max_brightness": 0.9})
    found = await judged(place, second, ACROSS | {"max_per_label": 4, "max_brightness": 0.9})
    assert sum("exact_duplicate" in each for each in found.values()) > sum(
        "exact_duplicate" in each for each in had.values()
    )
