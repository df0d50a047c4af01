"""A Gleanset of one's own, for as long as this process wants it: web, workers and database in processes beside it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import IO, Any, Self

from gleanset.errors import Unreachable

START_WITHIN = 120.0
"""Seconds; it takes two or three, and ten for a new data folder on a busy machine."""
_END_WITHIN = 15.0


class LocalServer:
    """Started by making one, ended by `close`, or when this process ends, however it does.

    Its data is in `folder`, or where `gleanset` keeps it when none is given; its exports are in `exports`. Others, such
    as `gleanset up`, may use the same folder meanwhile. Raises Unreachable when it does not start.
    """

    def __init__(self, folder: Path | str | None = None, workers: int = 1) -> None:
        command = [sys.executable, "-m", "backend.cli", "up", "--piped", "--processes", str(workers)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.PIPE,  # closed when this process is gone, upon which the other ends
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(folder),
            process_group=0,  # a terminal's Ctrl-C is for this process
        )
        self._closing = weakref.finalize(self, _end, self._process, self._log, os.getpid())
        try:
            told = self._first_line()
            self.url, self.key, self.exports = str(told["url"]), str(told["key"]), Path(told["exports"])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it, and wait until it has."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _first_line(self) -> Any:
        assert self._process.stdout is not None
        until, line = time.monotonic() + START_WITHIN, b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            more = os.read(self._process.stdout.fileno(), 4096) if readable else b""
            if not more:
                raise Unreachable(f"Gleanset does not start on this machine: {self._said()}")
            line += more
        return json.loads(line)

    def _said(self) -> str:
        """Its last words, which say what is wrong."""
        if self._process.poll() is None:
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                return f"nothing came for {START_WITHIN:.0f} seconds."
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with code {self._process.returncode}."


def _environment(folder: Path | str | None) -> dict[str, str]:
    """This process's, handed on: what it says is for the other one to read. Modules of the folder that one happens to
    be in must not hide those of the program."""
    mine = {} if folder is None else {"GLEANSET_HOME": str(Path(folder).expanduser().absolute())}
    return {**os.environ, "PYTHONSAFEPATH": "1", **mine}


def _end(process: subprocess.Popen[bytes], log: IO[bytes], owner: int) -> None:
    if os.getpid() != owner:  # a process that was forked off does not end what belongs to its parent
        return
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.terminate()  # others that were forked off may hold its input open
    try:
        process.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    log.close()
