"""What decoders are given to do in the tests: they import it by its name."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from gleanset.errors import ImageRefused
from gleanset.types import Reason


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def process(_: bytes) -> int:
    """Which process does it; slowly, so that all have to."""
    time.sleep(0.02)
    return os.getpid()


def crash(body: bytes) -> str:
    """Dies over some bytes, as a decoder written in C does."""
    if body.startswith(b"deadly"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return digest(body)


def refuse(body: bytes) -> None:
    raise ImageRefused(Reason.TOO_MANY_PIXELS, body.decode(), cause=Reason.TIMEOUT)


def fail(_: bytes) -> None:
    class Local(Exception):  # which no other process knows
        pass

    raise Local("of its own kind")


def unpicklable(_: bytes) -> object:
    return lambda: None


def forever(_: bytes) -> None:
    """In a library that is caught in a circle: no signal handler of Python's is asked."""
    re.match("(a+)+$", "a" * 64 + "b")


@dataclass(frozen=True)
class CrashOnce:
    """Dies the first time."""

    place: Path

    def __call__(self, body: bytes) -> str:
        if not self.place.exists():
            self.place.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return digest(body)
