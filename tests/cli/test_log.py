"""The log of several processes that share one standard error, as those of a container do."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
import structlog

from backend import logs
from backend.config import Settings


class Unbuffered(io.StringIO):
    """Keeps what is written to it in the pieces in which it came."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str, /) -> int:
        self.pieces.append(text)
        return len(text)


def test_a_line_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In two pieces, another process could write its line in between."""
    stderr = Unbuffered()
    monkeypatch.setattr(sys, "stderr", stderr)
    logs.configure(Settings(log_format="json"), logging.INFO)
    structlog.get_logger("gleanset").info("ours", pid=1)
    logging.getLogger("some.library").warning("theirs")
    assert [json.loads(piece)["event"] for piece in stderr.pieces] == ["ours", "theirs"]
    assert all(piece.endswith("\n") for piece in stderr.pieces)
