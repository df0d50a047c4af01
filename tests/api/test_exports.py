"""Exports through the API: made by a real worker, downloaded whole and in parts, by whoever may, until they may not."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, update

from backend.http.downloads import signature
from backend.http.service import load_secret
from backend.models import ActivityLog, ExportJob
from backend.models.enums import JobStatus
from gleanset.export.verify import is_export
from gleanset.store import Store, blob_key
from tests.api.helpers import Jobs
from tests.api.working import worker
from tests.services.helpers import downloaded
from tests.serving import Served

JOBS = "/api/v1/export-jobs"


@pytest.fixture(scope="module")
def packing(served: Served) -> Iterator[None]:
    with worker(served):
        yield


@pytest.fixture
def person(served: Served) -> UUID:
    return served.person()


@pytest.fixture
def me(served: Served, person: UUID) -> Iterator[httpx.Client]:
    with served.browser(person) as client:
        yield client


@pytest.fixture
def crawled(served: Served, person: UUID, tmp_path: Path) -> int:
    """A crawl that has gathered two files."""
    jobs = Jobs.of(served, person, tmp_path)
    store = Store(served.settings.store_place)
    images = []
    for data in (b"first" * 40_000, b"second" * 10):
        sha256 = hashlib.sha256(data).hexdigest()
        jobs.do(store.put(blob_key(sha256, "jpeg"), data))
        images.append(downloaded(sha256[:5], sha256=sha256, file_size=len(data)))
    return jobs.without_task(images)


def settled(client: httpx.Client, job_id: int) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while (job := client.get(f"{JOBS}/{job_id}").json())["status"] in {"pending", "running"}:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
    return job


@pytest.fixture
def export(packing: None, me: httpx.Client, crawled: int) -> dict[str, Any]:
    made = me.post(JOBS, json={"crawl_job_id": crawled, "name": 'Ça/va "bien"\r\n'})
    assert made.status_code == 201, made.text
    job = settled(me, made.json()["id"])
    assert job["status"] == "completed", job
    return job


def change(served: Served, job_id: int, **values: Any) -> None:
    served.run(lambda session: session.execute(update(ExportJob).where(ExportJob.id == job_id).values(**values)))


def test_an_export_is_packed_linked_and_verified(served: Served, me: httpx.Client, export: dict[str, Any]) -> None:
    link = me.post(f"{JOBS}/{export['id']}/link").json()
    left = datetime.fromisoformat(link["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=58) < left < timedelta(minutes=61)
    with served.anonymous() as nobody:
        answer = nobody.get(link["url"])
    assert answer.status_code == 200
    data = answer.content
    assert answer.headers["ETag"] == f'"{export["sha256"]}"'
    assert len(data) == export["file_size"] == int(answer.headers["Content-Length"])
    disposition = answer.headers["Content-Disposition"]
    assert disposition == f"attachment; filename*=utf-8''%C3%87a-va-bien-{export['id']}.zip"
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        rows = [json.loads(line) for line in packed.read("metadata.jsonl").splitlines()]
        manifest = packed.read("MANIFEST.sha256")
        assert hashlib.sha256(manifest).hexdigest() == export["sha256"]
        for line in manifest.decode().splitlines():
            digest, name = line.split("  ")
            assert hashlib.sha256(packed.read(name)).hexdigest() == digest
    assert len(rows) == 2
    assert me.get(export["download_url"]).content == data, "and by a login"


def test_parts_of_the_file(me: httpx.Client, export: dict[str, Any]) -> None:
    url = export["download_url"]
    whole = me.get(url).content
    size, tag = len(whole), f'"{export["sha256"]}"'

    def part(wanted: str, **headers: str) -> httpx.Response:
        return me.get(url, headers={"Range": wanted, **{name.replace("_", "-"): v for name, v in headers.items()}})

    for wanted, start, stop in (
        ("bytes=0-9", 0, 10),
        ("bytes=-7", size - 7, size),
        (f"bytes={size - 3}-", size - 3, size),
        ("bytes=5-99999999999", 5, size),
        ("bytes=100000-199999", 100_000, 200_000),
    ):
        answer = part(wanted, If_Range=tag)
        assert (answer.status_code, answer.content) == (206, whole[start:stop])
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
    for wanted in (f"bytes={size}-", "bytes=99999999999-", "bytes=-0"):
        beyond = part(wanted)
        assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
        told = beyond.json()
        assert (told["code"], told["message"]) == ("range_not_satisfiable", "The file has no such part.")
        assert part(wanted, If_Range='"another"').status_code == 200
    assert part("bytes=0-9", If_Range=me.head(url).headers["Last-Modified"]).status_code == 206
    assert part("bytes=0-9", If_Range='"another"').status_code == 200
    for odd in ("bytes=0-1,4-5", "bytes=9-2", "lines=1-2", "bytes=-", "bytes=a-b", "bytes=" + "9" * 5000 + "-", "x"):
        answer = part(odd)
        assert (answer.status_code, answer.content == whole) == (200, True), odd
    head = me.head(url)
    assert (head.status_code, head.content, int(head.headers["Content-Length"])) == (200, b"", size)
    assert head.headers["Accept-Ranges"] == "bytes"
    assert me.get(url, headers={"If-None-Match": f'"x", W/{tag}'}).status_code == 304


def test_a_broken_download_goes_on_where_it_stopped(served: Served, me: httpx.Client, export: dict[str, Any]) -> None:
    url = me.post(f"{JOBS}/{export['id']}/link").json()["url"]
    with served.anonymous() as nobody:
        with nobody.stream("GET", url) as answer:
            begun = next(answer.iter_bytes(50_000))
            tag = answer.headers["ETag"]
        rest = nobody.get(url, headers={"Range": f"bytes={len(begun)}-", "If-Range": tag})
    assert rest.status_code == 206
    assert begun + rest.content == me.get(url).content


def test_a_link_opens_one_file_until_it_expires(served: Served, me: httpx.Client, export: dict[str, Any]) -> None:
    url = me.post(f"{JOBS}/{export['id']}/link").json()["url"]
    path, _, query = url.partition("?")
    expires, given = (part.split("=")[1] for part in query.split("&"))
    later = int(expires) + 3600
    secret = load_secret(served.settings)
    job = served.run(lambda session: session.get_one(ExportJob, export["id"]))
    with served.anonymous() as nobody:
        assert nobody.get(path).status_code == 401
        for wrong in (
            f"{path}?expires={later}&signature={given}",
            f"{path}?expires={expires}&signature={given[:-1]}{'0' if given[-1] != '0' else '1'}",
            f"{path}?expires={expires}&signature=é",
            f"{JOBS}/{export['id'] + 1000}/download?expires={expires}&signature={given}",
            f"{path}?expires={expires}&signature={signature(b'x' * 32, job, int(expires))}",
        ):
            answer = nobody.get(wrong)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), wrong
        old = int(time.time()) - 1
        answer = nobody.get(f"{path}?expires={old}&signature={signature(secret, job, old)}")
        assert (answer.status_code, answer.json()["code"]) == (410, "gone")
        change(served, export["id"], sha256=bytes(32))
        assert nobody.get(url).status_code == 404, "another file, another link"


def test_a_link_ends_with_its_export(served: Served, me: httpx.Client, export: dict[str, Any]) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    change(served, export["id"], expires_at=soon)
    link = me.post(f"{JOBS}/{export['id']}/link").json()
    assert datetime.fromisoformat(link["expires_at"]) <= soon


@pytest.mark.parametrize(
    ("name", "kind"), [("zip", "application/zip"), ("tar", "application/x-tar"), ("tar.gz", "application/gzip")]
)
def test_every_format_is_told_by_name_and_type(
    packing: None, me: httpx.Client, crawled: int, tmp_path: Path, name: str, kind: str
) -> None:
    made = me.post(JOBS, json={"crawl_job_id": crawled, "name": "Birds", "format": name}).json()
    job = settled(me, made["id"])
    answer = me.get(job["download_url"])
    (tmp_path / "received").write_bytes(answer.content)
    assert is_export(str(tmp_path / "received"), job["sha256"])
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Disposition"] == f'attachment; filename="Birds-{job["id"]}.{name}"'
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expired"),
        ({"taken_down_images": 1}, "taken down"),
        ({"download_url": None}, "deleted"),
    ],
)
def test_what_is_not_for_downloading_any_more(
    served: Served, me: httpx.Client, export: dict[str, Any], values: dict[str, Any], word: str
) -> None:
    url = me.post(f"{JOBS}/{export['id']}/link").json()["url"]
    change(served, export["id"], **values)
    with served.anonymous() as nobody:
        answers = [nobody.get(url), me.get(url), me.get(f"{JOBS}/{export['id']}/download")]
    answers.append(me.post(f"{JOBS}/{export['id']}/link"))
    assert [answer.status_code for answer in answers] == [410] * 4
    assert word in answers[0].json()["message"]


def test_a_lost_file_is_gone(served: Served, me: httpx.Client, export: dict[str, Any]) -> None:
    (served.settings.exports / f"export-{export['id']}.zip").unlink()
    assert me.get(export["download_url"]).status_code == 410


def test_what_was_taken_down_is_not_offered_for_download(
    served: Served, me: httpx.Client, export: dict[str, Any]
) -> None:
    change(served, export["id"], taken_down_images=1)
    shown = me.get(f"{JOBS}/{export['id']}").json()
    assert (shown["status"], shown["download_url"], shown["taken_down_images"]) == ("completed", None, 1)
    [listed] = [each for each in me.get(JOBS).json()["items"] if each["id"] == export["id"]]
    assert listed["download_url"] is None


def test_a_folder_is_not_offered_for_download(served: Served, me: httpx.Client, export: dict[str, Any]) -> None:
    change(served, export["id"], export_options={"container": "folder"})
    assert me.get(f"{JOBS}/{export['id']}").json()["download_url"] is None
    answers = [me.get(export["download_url"]), me.post(f"{JOBS}/{export['id']}/link")]
    assert [answer.status_code for answer in answers] == [410, 410]
    assert "folder" in answers[0].json()["message"]


def test_a_deleted_export_leaves_nothing(served: Served, me: httpx.Client, export: dict[str, Any]) -> None:
    file = served.settings.exports / f"export-{export['id']}.zip"
    assert file.exists()
    assert me.delete(f"{JOBS}/{export['id']}").status_code == 204
    assert me.get(f"{JOBS}/{export['id']}").status_code == 404
    deadline = time.monotonic() + 5
    while file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    entries = served.run(
        lambda session: session.scalars(
            select(ActivityLog.action)
            .filter_by(resource_type="export_jobs", resource_id=str(export["id"]))
            .order_by(ActivityLog.id)
        )
    )
    made = [action for action in entries if action not in {"export_job.running"}]
    assert made == ["export_job.created", "export_job.completed", "export_job.deleted"]


def test_what_is_asked_is_checked(served: Served, me: httpx.Client, other: httpx.Client, crawled: int) -> None:
    def ask(client: httpx.Client = me, **changes: Any) -> httpx.Response:
        return client.post(JOBS, json={"crawl_job_id": crawled, "name": "E"} | changes)

    assert ask(format="rar").status_code == 422
    assert ask(name="a\0b").status_code == 422
    assert ask(crawl_job_id=2**31).status_code in {404, 422}
    assert ask(other).status_code == 404


def test_exports_wait_for_the_end_of_the_crawl(served: Served, me: httpx.Client, person: UUID, tmp_path: Path) -> None:
    job = Jobs.of(served, person, tmp_path).without_task([], JobStatus.RUNNING)
    answer = me.post(JOBS, json={"crawl_job_id": job, "name": "E"})
    assert (answer.status_code, answer.json()["details"]) == (409, {"current": "running"})


def test_exports_of_others_are_not_there(other: httpx.Client, export: dict[str, Any]) -> None:
    path = f"{JOBS}/{export['id']}"
    for answer in (
        other.get(path), other.delete(path), other.get(f"{path}/download"),
        *(other.post(f"{path}/{verb}") for verb in ("cancel", "retry", "link")),
    ):  # fmt: skip
        assert answer.status_code == 404
    assert other.get(JOBS).json()["items"] == []


def test_cancelled_and_tried_again(served: Served, me: httpx.Client, person: UUID, tmp_path: Path) -> None:
    job = Jobs.of(served, person, tmp_path).without_task([])
    made = me.post(JOBS, json={"crawl_job_id": job, "name": "E"}).json()
    me.post(f"{JOBS}/{made['id']}/cancel")
    job_now = settled(me, made["id"])
    assert job_now["status"] in {"cancelled", "failed"}  # there is nothing to pack, which a worker may have seen first
    assert me.get(f"{JOBS}/{made['id']}/download").status_code == 409
    again = me.post(f"{JOBS}/{made['id']}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    listed = me.get(JOBS, params={"crawl_job_id": job}).json()["items"]
    assert [item["id"] for item in listed] == [made["id"]]


def test_a_request_that_is_sent_twice_makes_one_export(me: httpx.Client, crawled: int) -> None:
    body, key = {"crawl_job_id": crawled, "name": "E"}, {"Idempotency-Key": "once"}
    first, second = (me.post(JOBS, json=body, headers=key) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert me.post(JOBS, json=body | {"name": "F"}, headers=key).status_code == 409
