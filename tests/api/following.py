"""A client of server-sent events, on a thread of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Follower:
    """What came so far: events as (id, data), comments, and whether the server ended the stream."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    ended: bool = False
    broken: Exception | None = None

    def until(self, condition: Callable[[Follower], object], seconds: float = 20.0) -> float:
        """Seconds until it held; fails the test when it does not in time."""
        began = time.monotonic()
        while not condition(self):
            assert self.broken is None, self.broken
            assert time.monotonic() - began < seconds, f"it did not happen in time: {self.downloads()}, {self.comments}"
            time.sleep(0.02)
        return time.monotonic() - began

    def downloads(self) -> list[int]:
        return [data["crawl_job"]["downloaded_images"] for _, data in self.events]

    def take(self, lines: Iterator[str]) -> None:
        found: dict[str, str] = {}
        for line in lines:
            if line.startswith(":"):
                self.comments.append(line)
            elif line:
                name, _, value = line.partition(": ")
                found[name] = value
            elif found:
                assert found["event"] == "progress"
                self.events.append((found["id"], json.loads(found["data"])))
                found = {}


@contextmanager
def following(client: httpx.Client, job_id: int, last: str | None = None) -> Iterator[Follower]:
    """Follow the job until the block ends."""
    follower = Follower()
    headers = {"Last-Event-ID": last} if last else {}
    opened = threading.Event()
    leaving = threading.Event()
    responses: list[httpx.Response] = []

    def run() -> None:
        try:
            with client.stream("GET", f"/api/v1/crawl-jobs/{job_id}/events", headers=headers) as response:
                responses.append(response)
                assert response.status_code == 200
                assert response.headers["Content-Type"].startswith("text/event-stream")
                opened.set()
                follower.take(line for line in response.iter_lines() if not leaving.is_set())
            follower.ended = True
        except Exception as error:
            follower.broken = error
        finally:
            opened.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert opened.wait(20)
        yield follower
    finally:
        leaving.set()
        if thread.is_alive() and responses:
            stream: Any = responses[0].extensions["network_stream"]
            stream.get_extra_info("socket").shutdown(2)
        thread.join(20)
