"""A circuit breaker: a host that does not answer at all is left alone for a while."""

from __future__ import annotations

from gleanset.errors import FetchFailed
from gleanset.types import Reason

THRESHOLD = 5
"""Failures in a row after which a host counts as down."""

FIRST_PAUSE, LONGEST_PAUSE = 30.0, 600.0
"""Seconds until the next probe: twice as long after each that fails, and never longer than the second."""

_PROBED = 1.0  # seconds between two looks at whether a probe is through

_DEAD = {Reason.DNS, Reason.CONNECTION, Reason.TLS, Reason.TIMEOUT}


class Breaker:
    """Counts the requests in a row to which no answer began. Times are those of one monotonic clock.

    `cause` is the reason of the first of them: what to look at when the host is only left alone.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.cause: Reason | None = None
        self.down_until = 0.0
        self._probing = False

    def admit(self, now: float) -> bool:
        """Lets a request pass; whether it is the one probe of a host that was down. Raises FetchFailed otherwise."""
        if self.failures < THRESHOLD:
            return False
        if self.closed_for(now) > 0:
            raise self.refusal(now)
        self._probing = True
        return True

    def refusal(self, now: float) -> FetchFailed:
        """What is to be said of a host that is down."""
        wait = max(self.down_until - now, 1.0)
        why = f" ({self.cause})" if self.cause else ""
        detail = f"no answer {self.failures} times in a row{why}, next try in {wait:.0f} s"
        return FetchFailed(Reason.HOST_DOWN, detail, cause=self.cause)

    def closed_for(self, now: float) -> float:
        """Seconds until it is worth while to look again; not above 0 when a request may pass now."""
        if self.failures < THRESHOLD:
            return 0.0
        return max(self.down_until - now, _PROBED if self._probing else 0.0)

    def end_probe(self) -> None:
        """The probe is over, whatever came of it."""
        self._probing = False

    def answered(self) -> None:
        """The host is alive: it began an answer."""
        self.failures, self.cause = 0, None

    def failed(self, reason: Reason, now: float) -> None:
        """A request ended without any answer."""
        if reason not in _DEAD:
            return
        self.cause = self.cause or reason
        self.failures += 1
        if self.failures >= THRESHOLD:
            doublings = min(self.failures - THRESHOLD, 10)
            self.down_until = now + min(FIRST_PAUSE * 2**doublings, LONGEST_PAUSE)
