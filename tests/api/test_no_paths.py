"""What the API tells has no paths of the server's disks, and the log has who asked."""

from __future__ import annotations

import time

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

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
    served: Served, me: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    who = me.get("/api/v1/profile").json()["id"]
    with served.anonymous() as nobody:
        nobody.get("/api/v1/profile")
    lines: list[str] = []
    deadline = time.monotonic() + 10
    while len(lines) < 2:  # the line is written behind the answer
        lines += [line for line in capsys.readouterr().out.splitlines() if "path=/api/v1/profile" in line]
        assert time.monotonic() < deadline, lines
    assert [f"user_id={who}" in line for line in lines] == [True, False]
