"""Worker processes that are killed and started again, all but the first, which is watched."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil


class Fleet:
    """So many `gleanset worker` processes; use as a context manager, which kills what still runs at the end."""

    def __init__(self, count: int, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = dict(environment)
        self._folder = folder
        self._count = count
        self._chance = random.Random()
        self._started: list[subprocess.Popen[bytes]] = []
        self._running: list[subprocess.Popen[bytes]] = []
        self.kills = 0

    def __enter__(self) -> Self:
        self._running = [self._start() for _ in range(self._count)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / f"worker-{len(self._started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "worker"],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_one(self) -> None:
        """Kill any but the first, and start another in its place."""
        place = self._chance.randrange(1, self._count)
        self._end(self._running[place])
        self.kills += 1
        self._running[place] = self._start()

    def check(self) -> None:
        """No worker may end by itself."""
        for process in self._running:
            if process.poll() is not None:
                log = self._folder / f"worker-{self._started.index(process)}.log"
                raise AssertionError(f"A worker ended with {process.returncode}: {log.read_text()[-1000:]}")

    def memory(self) -> int:
        """Bytes of the first worker."""
        return int(psutil.Process(self._running[0].pid).memory_info().rss)

    def rescues(self) -> int:
        """Tasks of dead workers that others gave back to the queue, by their logs."""
        logs = self._folder.glob("worker-*.log")
        return sum(log.read_bytes().count(b"rescued the task of a dead worker") for log in logs)
