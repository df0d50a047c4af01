"""What an export can be asked for, and splits that a real worker makes: without leaks, kept from export to export."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update

from backend.models import ExportJob, ExportSplit, Image
from backend.schemas.exports import ExportOptions, StoredOptions
from backend.services import exports
from gleanset.errors import ExportError
from gleanset.store import Store, blob_key
from gleanset.types import Downloaded
from tests.api.helpers import Jobs
from tests.api.working import ended, worker
from tests.services.helpers import downloaded
from tests.serving import Served

JOBS = "/api/v1/export-jobs"
THREE = {"train": 80, "validation": 10, "test": 10}
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def working(served: Served) -> Iterator[None]:
    with worker(served):
        yield


@pytest.fixture
def person(served: Served) -> UUID:
    return served.person()


@pytest.fixture
def me(served: Served, person: UUID) -> Iterator[httpx.Client]:
    with served.browser(person) as client:
        yield client


def image(store: Store, jobs: Jobs, name: str, label: str, **fields: Any) -> Downloaded:
    data = name.encode() * 3
    sha256 = hashlib.sha256(data).hexdigest()
    jobs.do(store.put(blob_key(sha256, "jpeg"), data))
    pdq = fields.pop("pdq", hashlib.sha256(name.encode()).digest())
    made = downloaded(name, sha256=sha256, file_size=len(data), pdq=pdq)
    candidate = {"label": label, "creator": None, **fields}
    for field, value in candidate.items():
        object.__setattr__(made.candidate, field, value)
    return made


@pytest.fixture
def jobs(served: Served, person: UUID, tmp_path: Path) -> Jobs:
    return Jobs.of(served, person, tmp_path)


def album(served: Served, jobs: Jobs, count: int) -> list[Downloaded]:
    """Pictures of two labels: single ones, pairs of copies, and series of three."""
    store = Store(served.settings.store_place)
    made: list[Downloaded] = []
    for n in range(count):
        label = ("gull", "tern")[n % 2]
        match n % 10:
            case 0 | 1:
                pdq = hashlib.sha256(f"copy {n}".encode()).digest()
                made += [image(store, jobs, f"{n}.{m}", label, pdq=pdq[:-1] + bytes([pdq[-1] ^ m])) for m in range(2)]
            case 2 | 3:
                made += [image(store, jobs, f"{n}.{m}", label, creator=f"Ann {n}") for m in range(3)]
            case _:
                made.append(image(store, jobs, f"{n}", label))
    return made


def packed(me: httpx.Client, job_id: int, **options: Any) -> tuple[dict[str, Any], Rows]:
    """The export when it is through, and the rows of its metadata."""
    made = me.post(JOBS, json={"crawl_job_id": job_id, "name": "E", "export_options": options})
    assert made.status_code == 201, made.text
    job = ended(me, f"{JOBS}/{made.json()['id']}")
    assert job["status"] == "completed", job["error_message"]
    with zipfile.ZipFile(io.BytesIO(me.get(job["download_url"]).content)) as archive:
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        table = list(csv.DictReader(io.TextIOWrapper(archive.open("metadata.csv"), newline="")))
        origin, card = json.loads(archive.read("dataset.json")), archive.read("README.md").decode()
    counts = {"left_out": job["left_out_images"], "moved": job["moved_images"]}
    kept = {"kept_together": ["near_duplicates", "series"]}
    told = origin["splitting"]
    hashes = {name: told.pop(name) for name in ("sha256", "fixed_sha256")} if told else {}
    assert told == (kept | counts if "split" in options else None)
    assert bool(hashes.get("fixed_sha256")) == ("fixed_test" in options.get("split", {}))
    assert bool(hashes.get("sha256")) == ("split" in options)
    assert ("Never in two splits: the same bytes; near-duplicates" in card) == ("split" in options)
    assert [row["split"] or None for row in table] == [row["split"] for row in rows]
    return job, rows


def split_of(rows: Rows) -> dict[str, str]:
    return {row["sha256"]: row["split"] for row in rows}


def test_splits_are_made_kept_and_followed(served: Served, working: None, me: httpx.Client, jobs: Jobs) -> None:
    grown = album(served, jobs, 150)
    old = grown[:170]
    first_crawl, second_crawl = jobs.without_task(old), jobs.without_task(grown)
    job, rows = packed(me, first_crawl, split={"ratios": THREE})
    assert job["export_options"]["split"] == {"ratios": THREE, "follow": "none"}
    assert job["splits"] == Counter(row["split"] for row in rows)
    assert job["left_out_images"] == 0
    assert sorted(job["splits"]) == ["test", "train", "validation"]
    together = defaultdict[Any, set[str]](set)
    for row in rows:
        together[row["group"]].add(row["split"])
        if row["creator"]:
            together[row["creator"]].add(row["split"])
    assert all(len(splits) == 1 for splits in together.values())
    assert {Counter(row["group"] for row in rows)[row["group"]] for row in rows} == {1, 2, 3}
    assert [row["split"] for row in rows] == sorted(
        (row["split"] for row in rows), key=["train", "test", "validation"].index
    )
    for label in ("gull", "tern"):
        counts = Counter(row["split"] for row in rows if row["label"] == label)
        assert counts["train"] == pytest.approx(0.8 * counts.total(), abs=3)

    again, more = packed(me, second_crawl, split={"ratios": THREE})
    assert again["export_options"]["split"]["follow"] == job["id"]
    assert len(more) == len(grown)
    assert split_of(more).items() >= split_of(rows).items()

    test = {sha256 for sha256, split in split_of(rows).items() if split == "test"}
    options = {"folds": 4, "fixed_test": {"export_job_id": job["id"]}, "follow": "none"}
    folded, rows_in_folds = packed(me, second_crawl, split=options)
    assert {row["sha256"] for row in rows_in_folds if row["split"] == "test"} == test
    assert set(folded["splits"]) == {"fold_1", "fold_2", "fold_3", "fold_4", "test"}
    assert folded["left_out_images"] + len(rows_in_folds) == len(grown)
    assert folded["total_images"] == folded["exported_images"] == len(rows_in_folds)

    given, rows_given = packed(me, second_crawl, split={"ratios": THREE, "fixed_test": {"sha256": sorted(test)}})
    assert given["export_options"]["split"]["fixed_test"] == {"export_job_id": given["id"]}
    assert {row["sha256"] for row in rows_given if row["split"] == "test"} == test


def test_a_resized_copy_in_a_given_test_set_stands_for_its_original(
    served: Served, working: None, me: httpx.Client, jobs: Jobs
) -> None:
    files = album(served, jobs, 12)
    crawl = jobs.without_task(files)
    copy = hashlib.sha256(b"copy").digest()
    mine = bytes.fromhex(files[-1].inspection.sha256)
    served.run(lambda s: s.execute(update(Image).where(Image.sha256 == mine).values(resized_sha256=copy)))
    _, rows = packed(me, crawl, split={"ratios": {"train": 1}, "fixed_test": {"sha256": [copy.hex()]}})
    assert [row["sha256"] for row in rows if row["split"] == "test"] == [mine.hex()]


def test_only_some_labels_and_no_split(served: Served, working: None, me: httpx.Client, jobs: Jobs) -> None:
    crawl = jobs.without_task(album(served, jobs, 20))
    job, rows = packed(me, crawl, labels=["tern", "albatross"])
    assert {row["label"] for row in rows} == {"tern"}
    assert {row["split"] for row in rows} == {row["group"] for row in rows} == {None}
    assert (job["splits"], job["total_images"]) == ({}, len(rows))


def test_files_are_named_and_described_as_asked(served: Served, working: None, me: httpx.Client, jobs: Jobs) -> None:
    crawl = jobs.without_task(album(served, jobs, 10))
    options = {"rename": "number", "include_metadata": False, "labels": ["gull"]}
    made = me.post(JOBS, json={"crawl_job_id": crawl, "name": "E", "export_options": options}).json()
    job = ended(me, f"{JOBS}/{made['id']}")
    with zipfile.ZipFile(io.BytesIO(me.get(job["download_url"]).content)) as archive:
        names = archive.namelist()
        first, *_ = (json.loads(line) for line in archive.read("metadata.jsonl").splitlines())
    images = sorted(name for name in names if name.startswith("images/"))
    assert images == [f"images/gull/{n:06}.jpg" for n in range(1, job["exported_images"] + 1)]
    assert (first["file_name"], first["label"]) == (images[0], "gull")
    assert "source_page" not in first


@pytest.mark.parametrize("wanted", [{"follow": 999_999}, {"fixed_test": {"export_job_id": 999_999}}])
def test_an_export_whose_forerunner_is_gone_says_so(
    served: Served, person: UUID, jobs: Jobs, wanted: dict[str, Any]
) -> None:
    """Deleted after it was asked for, and before the task ran."""
    crawl = jobs.without_task(album(served, jobs, 4))

    async def planned(session: Any) -> ExportJob:
        options = {"split": {"folds": 2, **wanted}}
        session.add(job := ExportJob(crawl_job_id=crawl, user_id=person, name="E", export_options=options))
        return job

    with pytest.raises(ExportError, match=r"999999.*was deleted"):
        jobs.do(exports.divide(served.database, served.run(planned)))


def test_what_is_asked_is_checked_field_by_field(
    served: Served, me: httpx.Client, other: httpx.Client, jobs: Jobs
) -> None:
    crawl = jobs.without_task(album(served, jobs, 4))

    def ask(options: Any, client: httpx.Client = me) -> httpx.Response:
        return client.post(JOBS, json={"crawl_job_id": crawl, "name": "E", "export_options": options})

    for options, place in (
        ({"out": "/tmp/x"}, "out"),
        ({"planned": True}, "planned"),
        ({"container": "folder"}, "container"),
        ({"labels": []}, "labels"),
        ({"labels": ["a\0"]}, "labels.0"),
        ({"split": {}}, "split"),
        ({"split": {"ratios": {}}}, "split.ratios"),
        ({"split": {"ratios": {"train": 0}}}, "split.ratios.train"),
        ({"split": {"ratios": {"../x": 1}}}, "split.ratios"),
        ({"split": {"ratios": THREE, "folds": 3}}, "split"),
        ({"split": {"folds": 10**30}}, "split.folds"),
        ({"split": {"folds": 3, "seed": -1}}, "split.seed"),
        ({"split": {"folds": 3, "follow": 2**31}}, "split.follow"),
        ({"split": {"folds": 3, "fixed_test": {}}}, "split.fixed_test"),
        ({"split": {"folds": 3, "fixed_test": {"sha256": ["xy"]}}}, "split.fixed_test.sha256.0"),
        ({"split": {"ratios": {"test": 1}, "fixed_test": {"export_job_id": 1}}}, "split"),
        ({"resize": {}}, "resize.size"),
        ({"resize": {"size": 10**30}}, "resize.size"),
        ({"resize": {"size": 64, "height": 64}}, "resize"),
        ({"resize": {"size": 64, "format": "png", "quality": 9}}, "resize"),
        ({"rename": "uuid"}, "rename"),
        ({"max_shard_size": 1}, "max_shard_size"),
        ({"validation_job_id": "1"}, "validation_job_id"),
        ({"validation_job_id": True}, "validation_job_id"),
    ):  # fmt: skip
        answer = ask(options)
        assert answer.status_code == 422, options
        fields = answer.json()["details"]["fields"]
        assert any(path.startswith(f"body.export_options.{place}") for path in fields), (options, fields)
    for options in (
        {"validation_job_id": 999_999},
        {"split": {"folds": 3, "follow": 999_999}},
        {"split": {"folds": 3, "fixed_test": {"export_job_id": 999_999}}},
    ):
        answer = ask(options)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_input"), options
    assert ask({}, other).status_code == 404


def test_splits_of_others_cannot_be_followed(
    served: Served, other: httpx.Client, person: UUID, jobs: Jobs, tmp_path: Path
) -> None:
    mine = jobs.without_task([])
    theirs = Jobs.of(served, served.person(), tmp_path)

    async def split(session: Any) -> int:
        job = ExportJob(crawl_job_id=mine, user_id=person, name="E", status="completed")
        session.add(job)
        await session.flush()
        session.add(ExportSplit(export_job_id=job.id, name="test", given=False, hashes=bytes(32)))
        return job.id

    number = served.run(split)
    crawl = theirs.without_task([])
    with served.browser(theirs.place.owner_id) as they, served.browser(person) as i:
        for wanted in ({"follow": number}, {"fixed_test": {"export_job_id": number}}):
            body = {"name": "E", "export_options": {"split": {"folds": 2, **wanted}}}
            assert they.post(JOBS, json={"crawl_job_id": crawl, **body}).status_code == 422
            assert i.post(JOBS, json={"crawl_job_id": mine, **body}).status_code == 201
        wrong = {"split": {"folds": 2, "fixed_test": {"export_job_id": number, "name": "held_out"}}}
        answer = i.post(JOBS, json={"crawl_job_id": mine, "name": "E", "export_options": wrong})
        assert "It has: test." in answer.json()["message"]


def test_options_are_kept_without_what_goes_without_saying() -> None:
    assert ExportOptions().stored() == {}
    everything: dict[str, Any] = {
        "include_metadata": False,
        "validation_job_id": 3,
        "labels": ["a"],
        "split": {"ratios": {"train": 0.5, "b": 2}, "related": ["series"], "seed": 4, "follow": 9},
        "resize": {"mode": "pad", "size": 224, "format": "webp", "quality": 80},
        "rename": "original",
        "max_shard_size": 5_000_000,
    }
    stored = ExportOptions.model_validate(everything).stored()
    assert stored == everything
    assert StoredOptions.model_validate({**stored, "out": "/x", "planned": True, "old": 1}).split is not None
    assert StoredOptions.model_validate({}).stored() == {}
