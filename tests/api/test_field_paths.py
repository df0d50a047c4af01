"""Each refusal of what was sent names the field that is not right."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.albums import gathered, picture
from tests.serving import Served

JOB = {"name": "J", "keywords": ["cat"]}


@pytest.mark.parametrize(
    ("method", "path", "sent", "field"),
    [
        ("PATCH", "/projects/{project}", {"json": {"name": None}}, "body.name"),
        ("PATCH", "/crawl-jobs/{job}", {"json": {"max_images": None}}, "body.max_images"),
        ("GET", "/projects", {"params": {"cursor": "zzz"}}, "query.cursor"),
        ("GET", "/projects", {"params": {"limit": 0}}, "query.limit"),
        ("GET", "/activity", {"params": {"resource_type": "projects"}}, "query.resource_id"),
        ("GET", "/activity", {"params": {"resource_id": 1}}, "query.resource_type"),
        (
            "POST",
            "/crawl-jobs",
            {"json": JOB | {"options": {"sources": ["openverse", "flickr"]}}},
            "body.options.sources.1",
        ),
        ("POST", "/crawl-jobs", {"json": JOB | {"keywords": []}}, "body.keywords"),
        (
            "POST",
            "/crawl-jobs",
            {"json": JOB | {"options": {"rules": {"min_width": "x"}}}},
            "body.options.rules.min_width",
        ),
        ("POST", "/crawl-jobs", {"json": JOB | {"options": {"rules": {"no_such": 1}}}}, "body.options.rules.no_such"),
        ("POST", "/crawl-jobs", {"json": JOB | {"options": {"keep_original": True}}}, "body.options.resize"),
        ("POST", "/crawl-jobs", {"content": b"{'a"}, "body"),
        ("POST", "/crawl-jobs", {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, "body"),
        ("POST", "/lists", {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, "body"),
        ("POST", "/lists", {"files": {"file": ("list.csv", b"")}}, "body.file"),
        (
            "POST",
            "/validation-jobs",
            {"json": {"validation_rules": {"max_per_label": 0}}},
            "body.validation_rules.max_per_label",
        ),
        ("POST", "/validation-jobs", {"json": {"rules_name": "strict"}}, "body.rules_name"),
        (
            "POST",
            "/keys",
            {"json": {"name": "k", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"}},
            "body.expires_at",
        ),
        ("PUT", "/profile/password", {"json": {"old": "x", "new": "short"}}, "body.new"),
        (
            "POST",
            "/projects/{project}/decisions",
            {"json": {"choice": "keep", "image_ids": ["had", "lost"]}},
            "body.image_ids.1",
        ),
    ],
)
def test_the_field_is_named(served: Served, method: str, path: str, sent: dict[str, Any], field: str) -> None:
    job = gathered(served, served.person(), [picture("china", 100)])
    with served.browser(job.user_id) as client:
        listed = f"/api/v1/crawl-jobs/{job.job_id}/images"
        [lost] = client.get(listed, params={"outcome": "failed"}).json()["items"]
        given = _filled(sent, {"had": job.images[0], "lost": lost["id"]})
        if "json" in given and method == "POST" and path in {"/crawl-jobs", "/validation-jobs"}:
            given["json"] |= {"project_id": job.project_id} if path == "/crawl-jobs" else {"crawl_job_id": job.job_id}
        answer = client.request(method, "/api/v1" + path.format(project=job.project_id, job=job.job_id), **given)
    assert answer.status_code == 422
    assert [*answer.json()["details"]["fields"]] == [field]


def _filled(value: Any, names: dict[str, int]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value
