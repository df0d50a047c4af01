"""`gleanset up` and `serve` as real processes: they start, let somebody in, and end without leaving anything behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from backend.http.access import csrf_token
from tests.api.following import following
from tests.cli.conftest import Cli, Done

PATIENCE = 60.0


class Running:
    """A command that runs until it is stopped; what it says goes to files. What still runs at the end is killed."""

    _numbers = count()

    def __init__(self, cli: Cli, *arguments: str) -> None:
        number = next(self._numbers)
        self._out, self._err = (cli.folder / f"{name}-{number}.log" for name in ("out", "err"))
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = cli.start(*arguments, stdout=out, stderr=err)

    def line(self, start: str) -> str:
        """The first line of the output that begins so, when it comes."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE and self.process.poll() is None:
            found = re.search(rf"^{re.escape(start)}.*$(?=\n)", self._out.read_text(), re.MULTILINE)
            if found:
                return found[0]
            time.sleep(0.05)
        pytest.fail(f"it did not print it: {self._err.read_text()}")

    def workers(self, count: int) -> list[psutil.Process]:
        """The worker processes, when so many are ready; the command has to log it (`-v`)."""
        began = time.monotonic()
        while self._err.read_text().count("worker is ready") < count:
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.05)
        return [each for each in self.family() if "worker" in each.cmdline()]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def family(self) -> list[psutil.Process]:
        """The process and all that it has started."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def stop(self, number: int = signal.SIGTERM, within: float = 20.0) -> Done:
        self.process.send_signal(number)
        return self.ended(within)

    def ended(self, within: float) -> Done:
        """What it said, when it has ended; fails when it does not in time."""
        code = self.process.wait(within)
        return Done(code, self._out.read_text(), self._err.read_text())


Start = Callable[..., Running]


@pytest.fixture
def start(cli: Cli) -> Iterator[Start]:
    started: list[Running] = []

    def begin(*arguments: str) -> Running:
        started.append(Running(cli, *arguments))
        return started[-1]

    yield begin
    for each in started:
        each.close()


@contextmanager
def log_in(link: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=link.partition("/login/")[0], timeout=30) as client:
        answer = client.get(link)
        assert answer.status_code == 303, answer.text
        assert "gleanset_session" in client.cookies
        yield client


def gone(family: list[psutil.Process], within: float = 10.0) -> bool:
    return not psutil.wait_procs(family, timeout=within)[1]


def test_from_an_empty_folder_to_a_page_and_back_to_nothing(embedded_cli: Cli) -> None:
    home = Path(embedded_cli.environment["GLEANSET_HOME"])
    for round_ in range(2):  # a new folder, then one that is there
        with closing(Running(embedded_cli, "up", "--port", "0", "--processes", "2")) as running:
            with log_in(running.line("http://127.0.0.1:")) as client:
                page = client.get("/")
                assert page.status_code == 200
                assert page.headers["Content-Type"].startswith("text/html")
            family = running.family()
            workers = [each for each in family if "worker" in each.cmdline() and each.ppid() == family[0].pid]
            assert len(workers) == 2  # what a worker has just forked still has its command line
            done = running.stop()
        assert done.code == 0, done.err
        assert gone(family)
        assert not (home / "postgresql/postmaster.pid").exists(), f"the database still runs after round {round_}"
        assert "Traceback" not in done.err


def test_a_second_one_prints_another_link_to_the_first(start: Start, cli: Cli) -> None:
    first = start("up", "--port", "0")
    link = first.line("http://")
    second = cli.ok("up")
    assert second.out.partition("/login/")[0] == link.partition("/login/")[0]
    assert second.out.strip() != link
    assert "is up already" in second.err
    for each in (link, second.out.strip()):
        with log_in(each) as client:
            assert client.get("/api/v1/projects").status_code == 200
    used = httpx.get(link)
    assert used.status_code == 401
    first.stop()


def test_a_port_that_is_taken(start: Start, cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in ("up", "serve"):
            done = cli.run(command, "--port", port)
            assert done.code == 2
            assert f"Port {port} of 127.0.0.1 is taken" in done.err


def test_a_team_gets_the_plain_address(start: Start, cli: Cli) -> None:
    cli.environment["GLEANSET_ACCOUNTS"] = "team"
    running = start("up", "--port", "0")
    address = running.line("http://")
    assert "/login/" not in address
    assert httpx.get(f"{address}/api/v1/projects").status_code == 401
    assert running.stop(signal.SIGINT).code == 0


def test_killed_it_leaves_no_worker(start: Start) -> None:
    running = start("-v", "up", "--port", "0", "--processes", "2")
    assert len(running.workers(2)) == 2
    family = running.family()
    running.process.kill()
    assert gone(family)


def test_a_second_ctrl_c_stops_at_once_even_what_does_not_listen(start: Start) -> None:
    running = start("-v", "up", "--port", "0")
    [worker] = running.workers(1)
    worker.suspend()
    running.process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert running.process.poll() is None, "it waits for its worker"
    done = running.stop(signal.SIGINT, within=5)
    assert done.code == 130
    assert gone([worker])


def test_a_worker_that_dies_is_replaced(start: Start) -> None:
    running = start("-v", "up", "--port", "0")
    [worker] = running.workers(1)
    worker.kill()
    [other] = running.workers(2)
    assert other.pid != worker.pid
    assert running.stop().code == 0


def test_requests_that_are_under_way_are_answered_before_the_end_and_streams_end(start: Start, cli: Cli) -> None:
    """A request whose body comes slowly, over the time of the stop, while somebody follows a job."""
    running = start("up", "--port", "0")
    with log_in(running.line("http://")) as client:
        host, port = client.base_url.host, client.base_url.port
        client.headers["X-CSRF-Token"] = csrf_token(client.cookies["gleanset_session"])
        project = client.post("/api/v1/projects", json={"name": "Birds"}).json()["id"]
        asked = {"project_id": project, "name": "Terns", "keywords": ["tern"]}
        job_id = client.post("/api/v1/crawl-jobs", json=asked).json()["id"]
        with socket.create_connection((host, port or 80)) as half, following(client, job_id) as follower:
            follower.until(lambda it: it.events)
            half.sendall(b"POST /api/v1/projects HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
            time.sleep(0.5)
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(OSError, match=r"refused"):
                socket.create_connection((host, port or 80))
            half.sendall(b"}")
            assert half.recv(100).startswith(b"HTTP/1.1 401")
            follower.until(lambda it: it.ended, seconds=3)  # by itself, before the server would cut it off
    done = running.ended(20)
    assert done.code == 0
    assert "Traceback" not in done.err


def test_a_download_goes_on_while_everything_else_ends(start: Start, cli: Cli) -> None:
    """It is read slowly, over more time than a request has whose body never comes."""
    running = start("up", "--port", "0")
    with log_in(running.line("http://")) as client:
        host, port = client.base_url.host, client.base_url.port
        number, size = an_export(cli), 64 * 1024**2
        with (
            socket.create_connection((host, port or 80)) as half,
            client.stream("GET", f"/api/v1/export-jobs/{number}/download") as answer,
        ):
            half.sendall(b"POST /api/v1/projects HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
            assert int(answer.headers["Content-Length"]) == size
            parts = answer.iter_raw(64 * 1024)
            had = len(next(parts))
            running.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            half.settimeout(10)
            with suppress(ConnectionResetError):
                while half.recv(1000):
                    pass
            assert 4 < time.monotonic() - began < 8, "cut off after five seconds"
            time.sleep(1)
            assert had + sum(len(part) for part in parts) == size
    done = running.ended(10)
    assert done.code == 0
    assert "Traceback" not in done.err


def an_export(cli: Cli) -> int:
    """A finished one of the local owner, with a file that no buffer holds."""
    with psycopg.connect(cli.environment["DATABASE_URL"].replace("+psycopg", "")) as connection:
        number = connection.execute(
            "WITH p AS (INSERT INTO projects (name, user_id) SELECT 'p', id FROM profiles RETURNING id, user_id),"
            " c AS (INSERT INTO crawl_jobs (project_id, name, keywords, status) SELECT id, 'c', '[]', 'completed'"
            " FROM p RETURNING id) INSERT INTO export_jobs (crawl_job_id, user_id, name, status, download_url)"
            " SELECT c.id, p.user_id, 'e', 'completed', 'file:///there' FROM c, p RETURNING id"
        ).fetchall()[0][0]
    file = Path(cli.environment["GLEANSET_HOME"]) / "exports" / f"export-{number}.zip"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as made:
        made.truncate(64 * 1024**2)
    return int(number)


def test_no_line_of_the_log_tells_a_secret_and_each_has_its_request(start: Start, cli: Cli) -> None:
    cli.environment["GLEANSET_LOG_FORMAT"] = "json"
    running = start("-v", "up", "--port", "0")
    link = running.line("http://")
    with log_in(link) as client:
        cookie = client.cookies["gleanset_session"]
        client.get("/api/v1/projects", headers={"X-Request-ID": "mine-1"})
        client.get("/api/v1/projects?signature=s3cr3t", headers={"Authorization": "Bearer gls_s3cr3t"})
    running.workers(1)
    log = running.stop().err
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["path"] for line in requests][:2] == ["/login/***", "/api/v1/projects"]
    assert [line["request_id"] for line in requests][1] == "mine-1"
    assert {line["level"] for line in lines} <= {"info", "warning"}
    for secret in (link.rpartition("/")[2], cookie, "s3cr3t"):
        assert secret not in log
    assert any(line["event"] == "worker is ready" for line in lines)
