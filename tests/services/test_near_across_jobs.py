"""Near-duplicates of what earlier jobs have, held to comparing all with all: whatever the index has, lacks or lost."""

from __future__ import annotations

import asyncio
import fcntl
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from backend.models import CrawlJob
from backend.services import foretelling, near_across_jobs, takedowns, validation
from backend.services.foretelling import foretell
from backend.services.near_duplicates import Pictures
from backend.services.states import locked
from gleanset.rules import NEAR_DUPLICATE, Rules
from gleanset.similar import Batch, Index, groups
from gleanset.types import Downloaded
from tests.engine.test_similar import flipped, planted, random
from tests.services.helpers import Place, downloaded
from tests.services.test_across_jobs import choose
from tests.services.test_judging import job_of, judged

RULES: dict[str, Any] = {"across_jobs": True, "near_duplicate_distance": 31}
NEAR = [NEAR_DUPLICATE]
ONE, OTHER = bytes(range(32)), bytes(255 - n for n in range(32))
LIKE_ONE = bytes([ONE[0] ^ 0b111]) + ONE[1:]


def pictures(prefix: str, hashes: Sequence[bytes], **measures: Any) -> list[Downloaded]:
    return [downloaded(f"{prefix}{n}", pdq=bytes(each), **measures) for n, each in enumerate(hashes)]


async def refused(place: Place, job_id: int, **rules: Any) -> dict[str, list[str]]:
    """The reasons of the images that are not valid, by the ends of their URLs; with an index that is kept."""
    found = await judged(place, job_id, RULES | rules, place.folder / "indexes")
    return {url.rpartition("/")[2]: reasons for url, reasons in found.items() if reasons}


async def expected(place: Place, jobs: Sequence[int], distance: int) -> dict[int, int]:
    """Which image stands for each that is refused, when the jobs are judged in their order."""
    rows = await place.rows("SELECT id, crawl_job_id, pdq FROM images WHERE outcome = 'downloaded' ORDER BY id")
    stand: dict[int, int] = {}
    kept: list[tuple[int, int]] = []
    for job in jobs:
        mine = [(number, int.from_bytes(pdq)) for number, of, pdq in rows if of == job]
        left: list[tuple[int, int]] = []
        for number, pdq in mine:
            near = [other for other, hash_ in kept if (pdq ^ hash_).bit_count() <= distance]
            if near:
                stand[number] = min(near)
            else:
                left.append((number, pdq))
        of = groups([pdq.to_bytes(32) for _, pdq in left], distance)
        stand |= {left[n][0]: left[first][0] for n, first in enumerate(of.tolist()) if n != first}
        kept += [each for n, each in enumerate(left) if of[n] == n]
    return stand


async def found(place: Place) -> dict[int, int]:
    """By the latest validation of each job."""
    rows = await place.rows(
        "SELECT image_id, duplicate_of FROM verdicts WHERE NOT valid AND validation_job_id IN"
        " (SELECT max(id) FROM validation_jobs GROUP BY crawl_job_id)"
    )
    return {image: other for image, other in rows}  # noqa: C416


@pytest.mark.parametrize("distance", [31, 12, 40])
@pytest.mark.parametrize("kept", [True, False])
async def test_three_jobs_lose_and_keep_what_comparing_all_with_all_does(
    place: Place, distance: int, kept: bool
) -> None:
    hashes = planted(np.random.default_rng(distance), 420)
    jobs: list[int] = []
    for prefix, some in (("a", hashes[:200]), ("b", hashes[200:260]), ("c", hashes[260:])):
        jobs.append(await job_of(place, pictures(prefix, [each.tobytes() for each in some])))
    rules = RULES | {"near_duplicate_distance": distance}
    for job in jobs:
        await judged(place, job, rules, place.folder / "indexes" if kept else None)
    want = await expected(place, jobs, distance)
    assert await found(place) == want
    owners = dict(await place.rows("SELECT id, crawl_job_id FROM images"))
    assert len({(owners[image], owners[other]) for image, other in want.items()}) >= 5
    for job in jobs:  # nothing that came later changes it
        await judged(place, job, rules, place.folder / "indexes" if kept else None)
    assert await found(place) == want
    assert (place.folder / "indexes").exists() == kept


async def test_the_earlier_job_keeps_the_picture_however_the_two_compare(place: Place) -> None:
    first = await job_of(place, pictures("small", [ONE], width=100, height=100))
    second = await job_of(place, pictures("large", [LIKE_ONE, LIKE_ONE, OTHER], width=4000, height=3000))
    assert await refused(place, first) == {}
    assert await refused(place, second) == {"large0": NEAR, "large1": NEAR}
    assert await refused(place, second, across_jobs=False) == {"large1": NEAR}


async def test_what_the_rows_say_by_now_counts_and_not_what_was_indexed(place: Place) -> None:
    one = downloaded("one", pdq=ONE, width=300)
    first = await job_of(place, [one, downloaded("other", pdq=OTHER)])
    second = await job_of(place, pictures("b", [LIKE_ONE, OTHER]))
    both = {"b0": NEAR, "b1": NEAR}
    assert await refused(place, second) == both
    await choose(place, one, "reject")
    assert await refused(place, second) == {"b1": NEAR}
    await place.rows_of_nothing("DELETE FROM decisions")
    assert await refused(place, second) == both
    await judged(place, first, {"min_width": 400})
    assert await refused(place, second) == {"b1": NEAR}
    await choose(place, one, "keep")
    assert await refused(place, second) == both
    await place.rows_of_nothing("UPDATE images SET pdq_quality = 10 WHERE original_url LIKE '%/one'")
    assert await refused(place, second) == {"b1": NEAR}
    async with place.database.transaction() as session:
        other = bytes.fromhex(downloaded("other").inspection.sha256)
        await takedowns.take_down(session, url=None, sha256=other, user_id=None)
    assert await refused(place, second) == {}


async def test_what_an_earlier_job_gets_later_is_compared_too(place: Place) -> None:
    """While it is still under way, when it is tried again, when a row has become another, and by whoever writes it."""
    job, [chunk] = await place.started()
    held = await place.claim(chunk)
    await place.record(held, [downloaded("early", pdq=OTHER)])
    second = await job_of(place, pictures("b", [LIKE_ONE, OTHER]))
    assert await refused(place, second) == {"b1": NEAR}
    await place.record(held, [downloaded("late", pdq=ONE)], None, end=True)
    assert await refused(place, second) == {"b0": NEAR, "b1": NEAR}
    await place.end(held)
    for _ in range(2):
        assert await refused(place, second) == {"b0": NEAR, "b1": NEAR}
    third = await job_of(place, pictures("c", [bytes(each) for each in random(np.random.default_rng(1), 3)]))
    assert await refused(place, third) == {}
    change = "UPDATE images SET pdq = (SELECT pdq FROM images WHERE original_url LIKE '%/c{}') WHERE id = {}"
    [(early,)] = await place.rows("SELECT id FROM images WHERE original_url LIKE '%%/early'")
    await place.rows_of_nothing(change.format(0, early))
    await place.rows_of_nothing(f"UPDATE crawl_jobs SET completed_at = now() WHERE id = {job.id}")  # as a retry does
    assert await refused(place, second) == {"b0": NEAR}
    assert await refused(place, third) == {"c0": NEAR}
    await place.rows_of_nothing(
        "INSERT INTO images (crawl_job_id, original_url, outcome, pdq, pdq_quality, sha256)"
        f" SELECT {job.id}, 'x', outcome, pdq, pdq_quality, sha256 FROM images WHERE original_url LIKE '%/c1'"
    )
    assert await refused(place, third) == {"c0": NEAR, "c1": ["exact_duplicate"]}
    await place.rows_of_nothing("UPDATE images SET sha256 = sha256(sha256) WHERE original_url = 'x'")
    assert await refused(place, third) == {"c0": NEAR, "c1": NEAR}


async def test_a_deleted_job_is_forgotten_by_the_index(place: Place) -> None:
    first = await job_of(place, pictures("a", [ONE]))
    between = await job_of(place, pictures("m", [OTHER]))
    last = await job_of(place, pictures("b", [LIKE_ONE, OTHER]))
    assert await refused(place, last) == {"b0": NEAR, "b1": NEAR}
    folder = place.folder / "indexes" / f"{place.project_id}-31"
    assert Index.opened(folder).marks.keys() == {first, between}
    await place.rows_of_nothing(f"DELETE FROM crawl_jobs WHERE id = {first}")
    assert await refused(place, last) == {"b1": NEAR}
    index = Index.opened(folder)
    assert index.marks.keys() == {between}
    assert len(index) == 1


@pytest.mark.parametrize("harm", ["turned", "cut", "gone", "no folder", "of another project"])
async def test_a_damaged_or_strange_index_changes_no_verdict(place: Place, harm: str) -> None:
    hashes = planted(np.random.default_rng(3), 200)
    first = await job_of(place, pictures("a", [each.tobytes() for each in hashes[:150]]))
    second = await job_of(place, pictures("b", [each.tobytes() for each in hashes[150:]]))
    await judged(place, first, RULES, place.folder / "indexes")
    before = await refused(place, second)
    assert len(before) > 5
    folder = place.folder / "indexes" / f"{place.project_id}-31"
    for path in folder.iterdir():
        data = path.read_bytes()
        match harm:
            case "turned" if data:
                path.write_bytes(data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
            case "cut":
                path.write_bytes(data[: len(data) // 2])
            case "gone" | "no folder":
                path.unlink()
            case _:
                pass
    if harm == "no folder":
        folder.rmdir()
        folder.write_text("not a folder")
    if harm == "of another project":  # whatever ids and hashes it names
        Index.extended(folder, [Batch(first, "strange", np.arange(1, 400), random(np.random.default_rng(1), 399))])
    assert await refused(place, second) == before


async def test_validations_at_once_share_the_index(place: Place) -> None:
    hashes = planted(np.random.default_rng(4), 320)
    jobs: list[int] = []
    for n in range(4):
        some = [each.tobytes() for each in hashes[80 * n : 80 * n + 80]]
        jobs.append(await job_of(place, pictures("abcd"[n], some)))
    for job in jobs:
        await judged(place, job, RULES)
    want, numbers = await found(place), []
    for job in jobs:
        async with place.database.transaction() as session:
            made = await validation.create(session, await locked(session, CrawlJob, job), RULES, user_id=place.owner_id)
        numbers.append(made.id)
    folder = place.folder / "indexes"
    await asyncio.gather(*(validation.judge(place.database, number, indexes=folder) for number in numbers))
    assert await found(place) == want
    assert Index.opened(folder / f"{place.project_id}-31").marks.keys() == set(jobs[:-1])


async def test_of_what_is_indexed_no_row_is_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And of the rows of other jobs only those are looked up that have something near."""
    reads: list[int] = []
    lookups: list[int] = []
    read, look = near_across_jobs.pictures_of, near_across_jobs._Comparison.standing

    async def reading(session: Any, jobs: Sequence[int]) -> Pictures:
        rows = await read(session, jobs)
        reads.append(len(rows))
        return rows

    async def looking(comparison: Any, index: Index, places: Any) -> Any:
        lookups.append(len(index.entries(places).ids))
        return await look(comparison, index, places)

    monkeypatch.setattr(near_across_jobs, "pictures_of", reading)
    monkeypatch.setattr(near_across_jobs._Comparison, "standing", looking)
    rng = np.random.default_rng(5)
    stored = random(rng, 900)
    first = await job_of(place, pictures("a", [each.tobytes() for each in stored]))
    copies = [each.tobytes() for each in flipped(rng, stored[:7], 20)]
    for n, new in enumerate((40, 80, 20)):
        reads.clear()
        lookups.clear()
        strangers = [each.tobytes() for each in random(rng, new)]
        job = await job_of(place, pictures("bcd"[n], strangers + copies))
        assert len(await refused(place, job)) == 7
        assert sum(reads) == [900, 47, 87][n]  # what the job before it had brought, once
        # Foretold, judged, and asked once more for the end that was lost, when the copies are marked already.
        assert 7 <= sum(lookups) <= 2 * 7 * (n + 1)
    reads.clear()
    await choose(place, downloaded("a0"), "reject")
    await judged(place, first, {})
    await refused(place, job)
    assert reads == []  # decisions and validations are asked for in the rows, not in the index


async def test_a_preview_that_would_take_long_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await job_of(place, pictures("a", [ONE, OTHER]))
    second = await job_of(place, pictures("b", [LIKE_ONE, OTHER]))
    rules, folder = Rules.parse(RULES), place.folder / "indexes"

    async def foretold() -> tuple[int, dict[str, int], list[str]]:
        async with place.database.transaction() as session:
            told = await foretell(session, second, rules, folder)
        return told.valid, told.invalid, told.not_judged

    monkeypatch.setattr(foretelling, "MOST_COMPARED", 1)
    assert await foretold() == (2, {}, [NEAR_DUPLICATE])
    async with place.database.transaction() as session:
        made = await validation.create(session, await locked(session, CrawlJob, second), RULES, user_id=place.owner_id)
    await validation.judge(place.database, made.id, indexes=folder)  # which reads what there is to read
    assert await foretold() == (0, {NEAR_DUPLICATE: 2}, [])
    monkeypatch.setattr(foretelling, "MOST_COMPARED_ACROSS", 1)
    assert await foretold() == (2, {}, [NEAR_DUPLICATE])


async def test_a_preview_does_not_wait_for_who_writes_the_index(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await job_of(place, pictures("a", [ONE]))
    second = await job_of(place, pictures("b", [LIKE_ONE]))
    assert await refused(place, second) == {"b0": NEAR}
    monkeypatch.setattr(foretelling, "PATIENCE", 0.5)
    folder = place.folder / "indexes"

    async def not_judged() -> list[str]:
        async with place.database.transaction() as session:
            return (await foretell(session, second, Rules.parse(RULES), folder)).not_judged

    with (folder / f"{place.project_id}-31" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = threading.active_count()
        for _ in range(3):
            assert await not_judged() == [NEAR_DUPLICATE]
        assert threading.active_count() <= before + 1, "no thread waits for the lock"
    assert await not_judged() == []


async def test_crowds_of_equal_hashes_are_looked_up_once(place: Place) -> None:
    first = await job_of(place, pictures("a", [ONE] * 40))
    second = await job_of(place, pictures("b", [LIKE_ONE] * 40 + [ONE] * 5))
    assert len(await refused(place, first)) == 39
    assert len(await refused(place, second)) == 45
    [(original,)] = await place.rows(
        "SELECT DISTINCT duplicate_of FROM verdicts WHERE NOT valid AND validation_job_id ="
        " (SELECT max(id) FROM validation_jobs)"
    )
    assert original == (await place.rows("SELECT min(id) FROM images"))[0][0]
