"""What the API tells has no paths of the server's disks, and the log has who asked."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.http import middleware
from backend.models import CrawlJob
from tests.api.albums import gathered, picture
from tests.serving import Served


def test_files_are_had_over_the_api_and_plans_tell_no_paths(served: Served) -> None:
    job = gathered(served, served.person(), [picture("china", 120)])

    async def plan(session: AsyncSession) -> None:
        made = await session.get_one(CrawlJob, job.job_id)
        files = {"lists": [{"path": "/srv/secret/list.csv"}, {"path": "https://example.org/a.csv"}]}
        export = {"format": "zip", "out": "/srv/secret/out.zip"}
        made.options = made.options | files | {"folders": [{"path": "/srv/secret/birds"}], "export": export}

    served.run(plan)
    with served.browser(job.user_id) as client:
        path = f"/api/v1/crawl-jobs/{job.job_id}"
        listed = client.get(f"{path}/images").json()["items"]
        one = client.get(f"/api/v1/images/{job.images[0]}").json()
        address = f"/api/v1/images/{job.images[0]}/file"
        told = {each["id"]: each["storage_url"] for each in listed}
        assert told.pop(job.images[0]) == one["storage_url"] == address
        assert set(told.values()) <= {None}
        assert client.get(address).status_code == 200
        options = client.get(path).json()["options"]
        assert [each["path"] for each in options["lists"]] == ["list.csv", "https://example.org/a.csv"]
        assert options["folders"][0]["path"] == "birds"
        assert options["export"] == {"format": "zip"}
        for where in (path, f"{path}/progress", "/api/v1/crawl-jobs"):
            assert "/srv/secret" not in client.get(where).text


def test_the_line_of_a_request_tells_who_asked(
    served: Served, me: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []

    def keep(_logger: object, _name: str, line: dict[str, Any]) -> None:
        lines.append(line)
        raise structlog.DropEvent

    # Whatever level others have configured.
    recorder = structlog.wrap_logger(None, processors=[keep], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr(middleware, "log", recorder)
    who = me.get("/api/v1/profile").json()["id"]
    with served.anonymous() as nobody:
        nobody.get("/api/v1/profile")
    deadline = time.monotonic() + 10
    while len(asked := [line for line in lines if line["path"] == "/api/v1/profile"]) < 2:  # behind the answer
        assert time.monotonic() < deadline, lines
        time.sleep(0.01)
    assert [line.get("user_id") for line in asked] == [who, None]
