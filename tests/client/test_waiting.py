"""Runs followed by their events, over connections that are lost. No worker is there: the tests say what happens."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gleanset.client import Client
from gleanset.errors import ClientError, JobFailed, WaitedTooLong
from tests.api.helpers import Jobs, Running
from tests.client.conftest import HASTE, Person
from tests.client.proxy import proxy
from tests.serving import Served


def test_a_run_is_followed_over_lost_connections_without_asking_twice(
    served: Served, person: Person, tmp_path: Path
) -> None:
    job = Running(Jobs.of(served, person.id, tmp_path))
    seen: list[int] = []
    cut = threading.Event()
    with proxy(served.url) as way, Client(way.url, person.key, patience=HASTE) as client:
        way.cut.append(6000)  # one state is some 3,000 bytes

        def go_on() -> None:
            for _ in range(3):
                time.sleep(0.3)
                job.gather()
            assert cut.wait(20)
            job.end()

        thread = threading.Thread(target=go_on)
        thread.start()
        for state in client.crawl_jobs.follow(job.id, timeout=60):
            seen.append(state.crawl_job.downloaded_images)
            if seen[-1] == 3:
                cut.set()
        thread.join()
        last = client.crawl_jobs.wait(job.id, timeout=20)
    assert state.settled
    assert last.status == "completed"
    assert seen[0] == 0
    assert seen == sorted(seen)
    asked = [path for _, path, _ in way.requests if path.endswith("/events")]
    assert 3 <= len(asked) <= 5, "once, again after the cut, and to wait; it is not polled"
    assert way.headers("Last-Event-Id", "/events")


def test_waiting_ends_in_time_and_for_what_never_begins(
    served: Served, person: Person, client: Client, tmp_path: Path
) -> None:
    job = Running(Jobs.of(served, person.id, tmp_path))
    began = time.monotonic()
    with pytest.raises(WaitedTooLong):
        client.crawl_jobs.wait(job.id, timeout=0.7)
    assert 0.6 < time.monotonic() - began < 3
    idle = client.crawl_jobs.create(client.projects.create("P"), "Idle", ["x"])
    with pytest.raises(ClientError, match="not started"):
        client.crawl_jobs.wait(idle, timeout=20)
    client.crawl_jobs.cancel(job.id)
    with pytest.raises(JobFailed, match="cancelled"):
        client.crawl_jobs.wait(job.id, timeout=20)
