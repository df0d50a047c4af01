"""Every noun of the API through the client; what the server says no to, and what becomes of lost connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gleanset.client import Client, ExportJob, calls
from gleanset.errors import (
    AccessDenied,
    ClientError,
    Conflicting,
    InvalidRequest,
    JobFailed,
    NotThere,
    ServerFault,
    Throttled,
    Unreachable,
)
from tests.client.conftest import HASTE, Person
from tests.client.making import gathered
from tests.client.proxy import proxy
from tests.serving import Served


def test_projects_and_jobs_are_made_listed_changed_and_removed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_PAGE", 2)
    project = client.projects.create("Coast / north", "of the sea")
    assert client.projects.get(project) == project
    assert client.projects.update(project, description=None).description is None
    made = [
        client.crawl_jobs.create(project, f"Job {n}", {"tern": ["arctic tern"]}, 50, export="tar") for n in range(5)
    ]
    assert made[0].options["export"]["format"] == "tar"
    assert list(client.crawl_jobs.list(project)) == made[::-1], "three pages"
    assert list(client.crawl_jobs.list(project, status="running")) == []
    assert client.crawl_jobs.get(made[0].id) == made[0]
    assert client.crawl_jobs.cancel(made[0]).status == "cancelled"
    client.crawl_jobs.delete(made[0])
    with pytest.raises(NotThere):
        client.crawl_jobs.get(made[0])
    assert [each.id for each in client.projects.list("Coast / north")] == [project.id]
    client.projects.delete(project)
    assert list(client.projects.list("Coast / north")) == []


def test_what_the_server_says_no_to(served: Served, client: Client) -> None:
    with pytest.raises(NotThere, match="no crawl job 999999") as missing:
        client.crawl_jobs.get(999_999)
    assert (missing.value.status, missing.value.code) == (404, "not_found")
    assert missing.value.request_id
    project = client.projects.create("P")
    with pytest.raises(InvalidRequest) as wrong:
        client.crawl_jobs.create(project, "J", ["x"], sources=["nowhere"])
    assert list(wrong.value.fields) == ["body.options.sources.0"]
    job = client.crawl_jobs.create(project, "J", ["x"])
    with pytest.raises(Conflicting) as pending:
        client.validation_jobs.create(job)
    assert pending.value.current == "pending"
    with Client(served.url, "gls_wrong", patience=HASTE) as nobody, pytest.raises(AccessDenied, match="API key"):
        next(nobody.projects.list())
    with Client("http://127.0.0.1:9", patience=HASTE) as nowhere, pytest.raises(Unreachable, match="does not answer"):
        nowhere.projects.get(1)
    for bad in ("gleanset.example.org", "ftp://example.org", "http://"):
        with pytest.raises(ClientError, match="no address"):
            Client(bad)


def test_images_are_listed_read_and_decided_about(
    served: Served, person: Person, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_DECISIONS_AT_ONCE", 2)
    job = gathered(served, person.id, tmp_path, 6)
    images = list(client.images.list(job, label="tern"))
    assert len(images) == 3
    assert {image.metadata == {"tags": ["a", "b"]} for image in images} == {True}
    first = images[0]
    assert client.images.get(first).sha256 == first.sha256
    assert client.images.open(first).size == (160, 160)
    assert client.images.thumbnail(first).format == "JPEG"
    project = client.crawl_jobs.get(job).project_id
    assert client.decisions.reject(project, images, "blurred").pictures == 3, "two requests"
    assert [one.choice for one in client.decisions.list(project)] == ["reject"] * 3
    assert len(list(client.images.list(job, decision="reject"))) == 3
    assert client.decisions.keep(project, images[:1]).pictures == 1
    client.decisions.undo(project, images)
    assert list(client.decisions.list(project)) == []


def test_a_validation_is_previewed_waited_for_and_read(
    served: Served, working: None, person: Person, client: Client, tmp_path: Path
) -> None:
    job = gathered(served, person.id, tmp_path, 4)
    assert client.validation_jobs.preview(job, {"min_width": 161}).invalid == {"min_width": 4}
    told = client.validation_jobs.preview(job, {"verify_files": True})
    assert (told.invalid, told.not_judged) == ({}, ["file_missing", "file_damaged"])
    done = client.validation_jobs.wait(client.validation_jobs.create(job, {"min_width": 161}), timeout=60)
    assert (done.validated_images, done.invalid_images) == (4, 4)
    assert {verdict.reasons[0] for verdict in client.validation_jobs.verdicts(done, valid=False)} == {"min_width"}
    assert client.validation_jobs.summary(done).valid == 0
    with pytest.raises(JobFailed, match="no valid image") as failed:
        client.export_jobs.wait(client.export_jobs.create(job, "Nothing"), timeout=60)
    assert isinstance(failed.value.job, ExportJob)
    assert failed.value.job.status == "failed"


def test_two_validations_are_compared(
    served: Served, working: None, person: Person, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_PAGE", 2)
    job = gathered(served, person.id, tmp_path, 6, different=3)
    first, second = (
        client.validation_jobs.wait(client.validation_jobs.create(job, rules), timeout=60)
        for rules in ({}, {"min_width": 161})
    )
    copies = list(client.validation_jobs.verdicts(first, valid=False))
    assert [verdict.reasons for verdict in copies] == [["exact_duplicate"]] * 3
    originals = [verdict.image_id for verdict in client.validation_jobs.verdicts(first, valid=True)]
    assert sorted(verdict.duplicate_of or 0 for verdict in copies) == originals
    compared = client.validation_jobs.compare(second, first)
    assert (compared.became_invalid, compared.other_reasons, compared.became_valid) == (3, 3, 0)
    assert compared.became_invalid_by == {"min_width": 3}
    assert (compared.rules["min_width"].before, compared.rules["min_width"].after) == (None, 161)
    changes = list(client.validation_jobs.changes(second, first, "became_invalid"))
    assert [change.image_id for change in changes] == originals, "two pages"
    assert {(change.before.valid, *change.after.reasons) for change in changes} == {(True, "min_width")}
    assert len(list(client.validation_jobs.changes(second.id, first.id))) == 6
    other = client.validation_jobs.wait(client.validation_jobs.create(gathered(served, person.id, tmp_path, 1)))
    with pytest.raises(InvalidRequest, match="crawl job"):
        client.validation_jobs.compare(other, first)


def test_a_creation_whose_answer_is_lost_makes_one_job(served: Served, person: Person) -> None:
    with proxy(served.url) as way, Client(way.url, person.key, patience=HASTE) as client:
        project = client.projects.create("Lossy")
        way.cut += [0, 40]  # the first answer is lost, the next in its middle
        client.close()  # so that the next request is on a connection that is cut
        job = client.crawl_jobs.create(project, "Once", ["x"])
        assert [each.id for each in client.crawl_jobs.list(project)] == [job.id]
        keys = way.headers("Idempotency-Key")
        assert len(keys) == 3
        assert len(set(keys)) == 1


@contextmanager
def answering(*answers: tuple[int, dict[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives one answer after the other; its address, and the methods that came."""
    left, came = list(answers), list[str]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            came.append(self.command)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers = left.pop(0)
            body = b'{"items": []}' if status == 200 else b"<html>oh dear</html>"
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", came
        server.shutdown()


def test_a_busy_server_is_asked_again_where_that_is_safe() -> None:
    with answering((503, {}), (429, {"Retry-After": "1"}), (200, {})) as (url, came):
        began = time.monotonic()
        assert list(Client(url, patience=HASTE).projects.list()) == []
        assert time.monotonic() - began >= 1.0
        assert len(came) == 3
    with answering((503, {"Retry-After": "1"})) as (url, came), pytest.raises(ServerFault, match="503"):
        Client(url, patience=HASTE).projects.create("P")  # nobody knows whether it was made
    with answering((429, {"Retry-After": "3600"})) as (url, came), pytest.raises(Throttled) as throttled:
        next(Client(url, patience=HASTE).projects.list())
    assert throttled.value.retry_after == 3600
    with answering(*[(502, {})] * 4) as (url, came), pytest.raises(ServerFault, match="not in the words"):
        next(Client(url, patience=HASTE).projects.list())
    assert len(came) == HASTE.attempts
