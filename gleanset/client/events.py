"""A run as it goes on: server-sent events, taken up again where the connection was lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from gleanset.client.http import Answer, Http
from gleanset.client.values import Progress
from gleanset.errors import ServerFault, Unreachable, WaitedTooLong

SILENCE = 45.0
"""Seconds without a byte after which a connection counts as lost; the server sends a heartbeat every 15."""
_HEARTBEAT = 15.0
_LONGEST_PAUSE = 5.0
AWAY = 120.0
"""Seconds for which a server may be away, to be started anew for instance."""


@dataclass(slots=True)
class Event:
    """`data` of a comment, such as a heartbeat, is None."""

    id: str | None = None
    name: str = "message"
    data: str | None = None


def follow(http: Http, crawl_job_id: int, timeout: float | None = None) -> Iterator[Progress]:
    """The state at once and after every change, until the run is settled.

    Raises WaitedTooLong after `timeout` seconds, Unreachable when the server is away for two minutes, and other
    ClientErrors for what it says no to.
    """
    until = None if timeout is None else time.monotonic() + timeout
    last: str | None = None
    answered, lost = time.monotonic(), 0
    while True:
        try:
            for event in _stream(http, crawl_job_id, last, until):
                answered, lost = time.monotonic(), 0
                last = event.id or last
                if event.name == "progress" and event.data is not None:
                    now = Progress.model_validate_json(event.data)
                    yield now
                    if now.settled:
                        return
                    answered = time.monotonic()
        except _Settled:
            return
        except (Unreachable, ServerFault):
            if time.monotonic() - answered > AWAY:
                raise
        if time.monotonic() - answered > AWAY:
            raise Unreachable(f"{http.url} ends every stream of events before it has said anything.")
        _check(until, crawl_job_id)
        lost += 1
        time.sleep(_shortened(min(_LONGEST_PAUSE, http.patience.before(min(lost, 20) + 1)), until))


class _Settled(Exception):
    """The server has said all there is to say."""


def _stream(http: Http, crawl_job_id: int, last: str | None, until: float | None) -> Iterator[Event]:
    """The events of one connection; it ends early when the time is soon over, for another with a shorter silence."""
    path = f"/crawl-jobs/{crawl_job_id}/events"
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    silence = _shortened(SILENCE, until)
    with http.open(path, headers, read=silence, attempts=1) as answer:
        if answer.status == 204:
            raise _Settled
        for event in parse(answer):
            yield event
            if until is not None and until - time.monotonic() < min(silence, _HEARTBEAT):
                return


def _shortened(seconds: float, until: float | None) -> float:
    return seconds if until is None else max(0.01, min(seconds, until - time.monotonic()))


def _check(until: float | None, crawl_job_id: int) -> None:
    if until is not None and time.monotonic() >= until:
        raise WaitedTooLong(f"The run of crawl job {crawl_job_id} is not over yet; it goes on.")


def parse(answer: Answer) -> Iterator[Event]:
    """Events and comments as they come; https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    event, data = Event(), list[str]()
    for line in _lines(answer):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                event.data = "\n".join(data)
                yield event
            event, data = Event(), []
        elif not name:
            yield Event(data=None)
        elif name == "data":
            data.append(value)
        elif name == "event":
            event.name = value
        elif name == "id" and "\0" not in value:
            event.id = value


def _lines(answer: Answer) -> Iterator[str]:
    rest = b""
    while chunk := answer.read1(1 << 16):
        *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
