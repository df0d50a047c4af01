"""The form of an export: what its fields mean, and where it says what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from backend.models import ExportJob
from backend.schemas.exports import ExportOptions
from backend.web import packing
from tests.api.helpers import Jobs
from tests.services.helpers import downloaded
from tests.serving import Served


@pytest.fixture
def person(served: Served) -> UUID:
    return served.person()


@pytest.fixture
def job(served: Served, person: UUID, tmp_path: Path) -> int:
    return Jobs.of(served, person, tmp_path).without_task([downloaded(str(n)) for n in range(3)])


@pytest.fixture
def me(served: Served, person: UUID) -> Any:
    with served.browser(person, follow_redirects=True) as client:
        client.headers["Accept"] = "text/html"
        yield client


BEGUN = {**packing.EMPTY, "name": "For training", "format": "zip"}


def test_the_form_as_it_begins_asks_for_nothing() -> None:
    assert ExportOptions.model_validate(packing.options_of(BEGUN)).stored() == {}


def test_every_field_is_sent_as_the_api_takes_it(served: Served, me: httpx.Client, job: int) -> None:
    filled = BEGUN | {
        "split": "ratios", "ratios": "train: 70, dev=30", "seed": "4", "related_series": "", "follow": "none",
        "resize": "pad", "size": "224", "height": "112", "resize_format": "webp", "quality": "80",
        "labels": 'cat, "big, dog"', "rename": "number", "max_shard": "250", "include_metadata": "",
        "format": "parquet",
    }  # fmt: skip
    page = me.post(f"/jobs/{job}/exports", data=filled)
    assert (page.status_code, "The images are being packed." in page.text) == (200, True)
    made = served.run(lambda session: session.scalar(select(ExportJob).filter_by(crawl_job_id=job)))
    assert made is not None
    assert made.export_options == {
        "split": {"ratios": {"train": 70, "dev": 30}, "related": ["near_duplicates"], "seed": 4, "follow": "none"},
        "resize": {"mode": "pad", "size": 224, "height": 112, "format": "webp", "quality": 80},
        "labels": ["cat", "big, dog"],
        "rename": "number",
        "max_shard_size": 250_000_000,
        "include_metadata": False,
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"split": "ratios", "ratios": "train"}, "ratios"),
        ({"split": "ratios", "ratios": ""}, "ratios"),
        ({"split": "folds", "folds": "1"}, "folds"),
        ({"split": "folds", "folds": ""}, "folds"),
        ({"split": "folds", "seed": "-1"}, "seed"),
        ({"split": "folds", "follow": "x"}, "follow"),
        ({"split": "folds", "fixed_test": "x"}, "fixed_test"),
        ({"resize": "crop", "size": "9"}, "size"),
        ({"resize": "crop", "height": "9"}, "height"),
        ({"resize": "shrink"}, "resize"),
        ({"resize": "crop", "quality": "101"}, "quality"),
        ({"rename": "x"}, "rename"),
        ({"max_shard": "0"}, "max_shard"),
        ({"max_shard": "many"}, "max_shard"),
        ({"labels": '""'}, "labels"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field(
    me: httpx.Client, job: int, changes: dict[str, str], field: str
) -> None:
    page = me.post(f"/jobs/{job}/exports", data=BEGUN | changes)
    assert page.status_code == 422
    assert f'<p class="wrong" id="{field}-says">' in page.text
    [section] = [part for part in page.text.split("<details") if f'id="{field}-says"' in part]
    assert section.startswith(" open>"), "what is wrong is seen at once"


def test_an_export_tells_its_splits_and_can_be_followed(
    served: Served, me: httpx.Client, person: UUID, job: int
) -> None:
    async def split(session: Any) -> int:
        values: dict[str, Any] = {"splits": {"test": 1, "train": 1200}, "left_out_images": 2, "moved_images": 1}
        session.add(made := ExportJob(crawl_job_id=job, user_id=person, name="Divided", status="completed", **values))
        await session.flush()
        return made.id

    number = served.run(split)
    page = me.get(f"/jobs/{job}/exports").text
    for said in (
        "train 1,200 · test 1",
        "2 images left out",
        "1 image moved",
        f'<option value="{number}">{number}: Divided',
    ):
        assert said in page
