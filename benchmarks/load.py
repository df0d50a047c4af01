"""Clients that ask a server, in a process of their own: `python -m benchmarks.load` reads a plan and prints times.

A client with a pace asks when it is due, and its time counts from then on: an answer that comes late makes the next
question late as well, and that is no less the server's fault.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import aiohttp

from benchmarks.contestants import environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked: `asked` are a kind and a path each, drawn by chance, the same for all servers.

    `every`: seconds between a client's questions; None for the next as soon as the answer is there. `settling`: seconds
    at the beginning that do not count.
    """

    base_url: str
    asked: Sequence[tuple[str, str]]
    headers: dict[str, str] = field(default_factory=dict[str, str])
    clients: int = 100
    every: float | None = None
    seconds: float = 10.0
    settling: float = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """Seconds of each answer by kind, and for how long answers were counted."""

    times: dict[str, list[float]]
    seconds: float

    def all(self) -> list[float]:
        return [each for times in self.times.values() for each in times]

    def rate(self) -> float:
        """Answers a second."""
        return len(self.all()) / self.seconds


def run(plan: Plan) -> Load:
    """The clients in a process of their own. Raises SystemExit for any answer but 200."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(plan)),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"The clients ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return Load(**json.loads(done.stdout))


async def _ask(plan: Plan) -> Load:
    load = Load({kind: [] for kind, _ in plan.asked}, plan.seconds)
    began = time.perf_counter()
    counted = began + plan.settling
    ends = counted + plan.seconds
    connections = aiohttp.TCPConnector(limit=plan.clients)
    async with aiohttp.ClientSession(plan.base_url, headers=plan.headers, connector=connections) as session:

        async def client(number: int) -> None:
            chance = random.Random(number)
            due = began + (plan.every * chance.random() if plan.every else 0)
            while due < ends:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if plan.every is None:
                    due = time.perf_counter()
                kind, path = chance.choice(plan.asked)
                async with session.get(path) as answer:
                    body = await answer.read()
                    if answer.status != 200:
                        raise SystemExit(f"{path} was answered by {answer.status}: {body[:500]!r}")
                if due >= counted and (now := time.perf_counter()) < ends:
                    load.times[kind].append(now - due)
                if plan.every is not None:
                    due += plan.every

        async with asyncio.TaskGroup() as group:
            for number in range(plan.clients):
                group.create_task(client(number))
    return load


if __name__ == "__main__":
    given = Plan(**json.load(sys.stdin))
    print(json.dumps(asdict(asyncio.run(_ask(given)))))
