"""Contestants that take turns, and the cells of a table that compares them."""

from __future__ import annotations

import os
import statistics
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import Run
from benchmarks.web import scratch

Contestant = Callable[[Path], Run]
"""Runs once in the folder that it is given."""

COLUMNS = (
    "command",
    "images/s, whole command",
    "spread",
    "gleanset is faster by",
    "images/s, own clock",
    "spread",
    "gleanset is faster by",
)
"""Of `Turns.compared`."""


@dataclass(frozen=True, slots=True)
class Turns:
    """What contestants came to, by name, in order of their turns."""

    runs: dict[str, list[Run]]

    def rates(self, name: str, *, own: bool) -> list[float]:
        """Images a second of each run, by its own clock or of the whole command; none when it is no command."""
        times = [run.own_seconds if own else run.seconds for run in self.runs[name]]
        return [run.images / time for run, time in zip(self.runs[name], times, strict=True) if time is not None]

    def ratio(self, one: str, other: str, *, own: bool) -> float:
        """How many times faster `one` is. Each run is compared with its neighbour in time: a slow minute of the
        machine hits both."""
        pairs = zip(self.rates(one, own=own), self.rates(other, own=own), strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    def cells(self, name: str, *, own: bool) -> tuple[str, str]:
        """Median and spread."""
        rates = self.rates(name, own=own)
        if not rates:
            return "", ""
        return f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}"

    def compared(self, ours: str, name: str) -> tuple[str, ...]:
        """A row of the table with both clocks."""
        cells = [name]
        for own in (False, True):
            ratio = f"{self.ratio(ours, name, own=own):.2f}" if self.rates(name, own=own) else ""
            cells += [*self.cells(name, own=own), ratio]
        return tuple(cells)

    def figures(self) -> dict[str, dict[str, list[float]]]:
        """For programs: all rates, by clock and contestant."""
        return {
            clock: {name: self.rates(name, own=own) for name in self.runs}
            for clock, own in (("whole_command", False), ("own_clock", True))
        }


def take_turns(contestants: Mapping[str, Contestant], repetitions: int) -> Turns:
    """Another one begins each time, so that none always comes behind the same."""
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    order = deque(contestants.items())
    for _ in range(repetitions):
        for name, contestant in order:
            with scratch() as folder:
                os.sync()  # what the one before wrote is not for this one to wait for
                runs[name].append(contestant(folder))
                _forget(folder)
        order.rotate(-1)
    return Turns(runs)


def _forget(folder: Path) -> None:
    """Take what was written out of memory: it would be for the next ones to find room there."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)
