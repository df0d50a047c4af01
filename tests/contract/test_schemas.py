"""The response examples of the contract, and what requests refuse."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from backend.models import ActivityLog, CrawlJob, Image, Profile, Project
from backend.schemas.activity import ActivityLogResponse
from backend.schemas.crawl_jobs import CrawlJobCreate, CrawlJobResponse, CrawlJobUpdate, Keywords, labelled
from backend.schemas.images import ImageResponse
from backend.schemas.jobs import ExportJobCreate, ExportJobResponse, ValidationJobCreate, ValidationJobResponse
from backend.schemas.profile import ProfileResponse, ProfileUpdate
from backend.schemas.projects import ProjectCreate, ProjectDetailResponse, ProjectResponse, ProjectUpdate

USER = uuid.uuid4()


def now() -> datetime:
    """Without a time zone, as the contract's examples have it."""
    return datetime.now()  # noqa: DTZ005


def crawl_job(**changes: Any) -> CrawlJobResponse:
    values: dict[str, Any] = {
        "id": 1,
        "project_id": 1,
        "name": "Google Images Crawl",
        "keywords": {"keywords": ["cat", "dog"]},
        "status": "running",
        "progress": 45,
        "total_images": 1000,
        "downloaded_images": 450,
        "valid_images": 400,
        "total_chunks": 10,
        "active_chunks": 2,
        "completed_chunks": 7,
        "failed_chunks": 1,
        "created_at": now(),
        "updated_at": now(),
    }
    return CrawlJobResponse(**values | changes)


def validation_job(**changes: Any) -> ValidationJobResponse:
    values: dict[str, Any] = {
        "id": 1,
        "crawl_job_id": 1,
        "name": "Image Validation",
        "status": "running",
        "progress": 60,
        "total_images": 400,
        "validated_images": 240,
        "invalid_images": 10,
        "validation_rules": {"min_width": 100, "min_height": 100},
        "created_at": now(),
        "updated_at": now(),
    }
    return ValidationJobResponse(**values | changes)


def export_job(**changes: Any) -> ExportJobResponse:
    values: dict[str, Any] = {
        "id": 1,
        "crawl_job_id": 1,
        "user_id": USER,
        "name": "Export Dataset",
        "status": "completed",
        "progress": 100,
        "format": "zip",
        "total_images": 400,
        "exported_images": 400,
        "file_size": 52428800,
        "download_url": "https://storage.example.com/exports/1.zip",
        "export_options": {"include_metadata": True},
        "created_at": now(),
        "updated_at": now(),
    }
    return ExportJobResponse(**values | changes)


def test_profile() -> None:
    response = ProfileResponse(
        id=USER,
        email="user@example.com",
        full_name="John Doe",
        role="user",  # pyright: ignore[reportArgumentType]
        created_at=now(),
        updated_at=now(),
    )
    assert (response.role, response.avatar_url) == ("user", None)


def test_project_and_detail() -> None:
    common: dict[str, Any] = {
        "id": 1,
        "name": "My Project",
        "user_id": USER,
        "status": "active",
        "created_at": now(),
        "updated_at": now(),
    }
    assert ProjectResponse(**common).description is None
    detail = ProjectDetailResponse(**common, crawl_jobs=[crawl_job(), crawl_job(id=2)])
    assert [job["id"] for job in detail.model_dump(mode="json")["crawl_jobs"]] == [1, 2]


def test_crawl_job() -> None:
    response = crawl_job()
    assert (response.success_rate, response.is_running, response.is_completed) == (45.0, True, False)
    assert response.keywords == {"keywords": ["cat", "dog"]}
    assert crawl_job(total_images=0, downloaded_images=0).success_rate == 0.0


def test_validation_job() -> None:
    response = validation_job()
    assert response.success_rate == pytest.approx(100 * 230 / 240)
    assert (response.is_running, response.is_completed) == (True, False)
    assert validation_job(validated_images=0, invalid_images=0).success_rate == 0.0


def test_export_job() -> None:
    response = export_job()
    assert (response.success_rate, response.is_running, response.is_completed) == (100.0, False, True)
    assert response.is_expired is False
    assert export_job(exported_images=0, total_images=0).success_rate == 0.0


@pytest.mark.parametrize("clock", [now, lambda: datetime.now(UTC)])
def test_an_export_expires_by_any_clock(clock: Any) -> None:
    assert export_job(expires_at=clock() - timedelta(seconds=1)).is_expired
    assert not export_job(expires_at=clock() + timedelta(minutes=1)).is_expired


def test_what_is_derived_is_in_the_json() -> None:
    crawl, export = crawl_job().model_dump(mode="json"), export_job().model_dump(mode="json")
    assert (crawl["success_rate"], crawl["is_running"], crawl["is_completed"]) == (45.0, True, False)
    assert (export["is_expired"], export["user_id"]) == (False, str(USER))
    assert CrawlJobResponse.model_validate(crawl) == CrawlJobResponse.model_validate_json(crawl_job_json(crawl))


def crawl_job_json(values: dict[str, Any]) -> str:
    return CrawlJobResponse(**values).model_dump_json()


def test_responses_read_objects() -> None:
    times: dict[str, Any] = {"created_at": now(), "updated_at": now()}
    user = Profile(id=USER, email="user@example.org", **times)
    project = Project(id=1, name="p", user_id=USER, user=user, **times)
    job = CrawlJob(id=2, project_id=1, name="c", keywords={"pets": ["cat"]}, project=project, **times)
    image = Image(id=3, crawl_job_id=2, original_url="https://example.org/a", sha256=b"\xab" * 32)
    entry = ActivityLog(id=4, user_id=USER, action="created", metadata_={"a": 1}, timestamp=now())
    assert ProfileResponse.model_validate(user).role == "user"
    detail = ProjectDetailResponse.model_validate(project)
    assert detail.crawl_jobs == [CrawlJobResponse.model_validate(job)]
    assert detail.crawl_jobs[0].max_images == 1000
    assert ImageResponse.model_validate(image).sha256 == "ab" * 32
    assert ActivityLogResponse.model_validate(entry).metadata_ == {"a": 1}


@pytest.mark.parametrize(
    ("keywords", "labels"),
    [
        (["cat", " dog "], {"cat": ["cat"], "dog": ["dog"]}),
        (["cat", "cat"], {"cat": ["cat"]}),
        ({"keywords": ["cat", "dog"]}, {"cat": ["cat"], "dog": ["dog"]}),
        ({"pets": ["cat", "dog", "cat "], "cars": ["car"]}, {"pets": ["cat", "dog"], "cars": ["car"]}),
        ({"pets": ["cat"], " pets": ["dog"]}, {"pets": ["cat", "dog"]}),
        ({"keywords": ["a"], "cars": ["car"]}, {"keywords": ["a"], "cars": ["car"]}),
    ],
)
def test_keywords_come_in_three_forms_and_are_kept_as_given(keywords: Keywords, labels: dict[str, list[str]]) -> None:
    assert labelled(keywords) == labels
    assert CrawlJobCreate(project_id=1, name="c", keywords=keywords).keywords == keywords
    assert crawl_job(keywords=keywords).model_dump()["keywords"] == keywords


JOB: dict[str, Any] = {"project_id": 1, "name": "c", "keywords": ["cat"]}


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        *(
            (CrawlJobCreate, JOB | {"keywords": keywords})
            for keywords in (
                *([], {}, [""], [" "], ["x" * 201], ["a\0b"], [1], "cat", None),
                *({"keywords": []}, {"pets": []}, {"": ["cat"]}, {"pets": "cat"}, {"pets": ["\0"]}, {"p\0": ["cat"]}),
            )
        ),
        *((CrawlJobCreate, JOB | {"max_images": n}) for n in (0, -1, 2**31, "many")),
        *((CrawlJobCreate, JOB | {"name": name}) for name in ("", "  ", "x" * 101, "a\0", "\ud800")),
        (CrawlJobCreate, JOB | {"options": {"deep": [{"in": "a\0"}]}}),
        (CrawlJobCreate, JOB | {"options": {"half": "\ud800"}}),
        (CrawlJobCreate, JOB | {"max_image": 5}),
        (CrawlJobUpdate, {"max_images": 0}),
        (ProjectCreate, {"name": " "}),
        (ProjectCreate, {"name": "p", "description": "\0"}),
        (ProjectUpdate, {"status": "gone"}),
        (ProfileUpdate, {"full_name": "x" * 101}),
        (ValidationJobCreate, {"crawl_job_id": 1, "name": ""}),
        (ValidationJobCreate, {"crawl_job_id": 1, "name": "v", "validation_rules": {"a\0": 1}}),
        (ExportJobCreate, {"crawl_job_id": 1, "name": "e", "format": "../zip"}),
    ],
)
def test_a_wrong_request_is_refused(schema: type[BaseModel], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        schema.model_validate(values)


def test_the_limits_themselves_pass() -> None:
    job = CrawlJobCreate(project_id=1, name=f" {'n' * 100} ", keywords=["k" * 200], max_images=1)
    assert job.name == "n" * 100
    assert CrawlJobCreate(**JOB).max_images == 1000
    assert ExportJobCreate(crawl_job_id=1, name="e").format == "zip"
    assert ValidationJobCreate(crawl_job_id=1, name="v").validation_rules == {}
    assert ProjectUpdate().model_dump(exclude_unset=True) == {}


def test_schemas_open_no_way_to_a_database() -> None:
    code = "import backend.schemas.projects, backend.schemas.jobs, sys; print('backend.db' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
