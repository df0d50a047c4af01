"""Processes that decode: what comes back, and what becomes of them when they crash or nobody wants them any more."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gleanset.decoders import AHEAD, Decoders
from gleanset.errors import DecoderError, ImageRefused
from gleanset.types import Reason
from tests.engine.decoding import CrashOnce, crash, digest, fail, forever, process, refuse, unpicklable


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with closing(Decoders(2)) as decoders:
        yield decoders


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_bodies_of_all_sizes_are_what_arrives(decoders: Decoders) -> None:
    draw = random.Random(7)
    sizes = [0, 1, 4095, 3 << 20, 100_000, 5 << 20, *(draw.randrange(300_000) for _ in range(60))]
    bodies = [draw.randbytes(size) for size in sizes]
    draw.shuffle(bodies)
    assert await asyncio.gather(*(decoders.run(digest, body) for body in bodies)) == [digest(body) for body in bodies]


async def test_all_of_them_work(decoders: Decoders) -> None:
    pids = await asyncio.gather(*(decoders.run(process, b"") for _ in range(4 * AHEAD)))
    assert len(set(pids)) == 2
    assert os.getpid() not in pids


async def test_what_is_raised_there_is_raised_here(decoders: Decoders) -> None:
    with pytest.raises(ImageRefused) as refused:
        await decoders.run(refuse, b"far too many")
    assert (refused.value.reason, refused.value.detail) == (Reason.TOO_MANY_PIXELS, "far too many")
    assert refused.value.cause is Reason.TIMEOUT
    with pytest.raises(DecoderError, match="Local: of its own kind"):
        await decoders.run(fail, b"")
    assert await decoders.run(digest, b"x") == digest(b"x")


async def test_what_crashes_a_decoder_is_refused_and_nothing_else(decoders: Decoders) -> None:
    bodies = [b"deadly" if n in (3, 20, 21) else b"%d" % n for n in range(40)]
    outcomes = await asyncio.gather(*(decoders.run(crash, body) for body in bodies), return_exceptions=True)
    for body, outcome in zip(bodies, outcomes, strict=True):
        if body == b"deadly":
            assert isinstance(outcome, ImageRefused)
            assert outcome.reason is Reason.DAMAGED
            assert f"code {-signal.SIGSEGV}" in outcome.detail
        else:
            assert outcome == digest(body)


async def test_who_is_killed_from_outside_costs_no_picture(decoders: Decoders, tmp_path: Path) -> None:
    """As by a system that is short of memory."""
    once = CrashOnce(tmp_path / "crashed")
    bodies = [b"%d" % n for n in range(30)]
    assert await asyncio.gather(*(decoders.run(once, body) for body in bodies)) == [digest(body) for body in bodies]


async def test_signals_for_the_worker_are_not_theirs(decoders: Decoders) -> None:
    """A terminal sends them to all, and so do service managers."""
    before = set(await asyncio.gather(*(decoders.run(process, b"") for _ in range(2 * AHEAD))))
    for pid in before:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert set(await asyncio.gather(*(decoders.run(process, b"") for _ in range(2 * AHEAD)))) == before


async def test_one_that_cannot_be_started_is_told(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DecoderError, match="as soon as it was started"):
        await asyncio.wait_for(decoders.run(digest, b"x"), 10)
    monkeypatch.setattr(sys, "executable", "/nowhere")
    with pytest.raises(DecoderError, match="cannot be started: No such file"):
        await decoders.run(digest, b"x")
    monkeypatch.undo()
    assert await decoders.run(digest, b"x") == digest(b"x"), "and the next may be"


async def test_what_cannot_be_pickled_costs_nothing_else(decoders: Decoders) -> None:
    outcomes = await asyncio.gather(
        decoders.run(unpicklable, b""),
        decoders.run(lambda body: body, b""),
        *(decoders.run(digest, b"%d" % n) for n in range(20)),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, Exception) for outcome in outcomes[:2])
    assert outcomes[2:] == [digest(b"%d" % n) for n in range(20)]


async def test_memory_that_cannot_be_had_is_the_trouble_of_one_picture(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture whose bytes did not arrive takes nobody else's place."""
    write, body = os.pwritev, random.Random(1).randbytes(100_000)

    def full(file: int, parts: list[bytes], at: int) -> int:
        if parts[0] == b"unlucky":
            raise OSError(28, "No space left on device")
        return write(file, parts, at)

    monkeypatch.setattr("os.pwritev", full)
    bodies = [b"unlucky" if n == 3 else body[n:] for n in range(20)]
    outcomes = await asyncio.gather(*(decoders.run(digest, body) for body in bodies), return_exceptions=True)
    assert isinstance(outcomes[3], DecoderError)
    assert [*outcomes[:3], *outcomes[4:]] == [digest(body) for body in bodies if body != b"unlucky"]


async def test_descriptors_that_cannot_be_had_are_told(decoders: Decoders) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 2, hard))
    try:
        with pytest.raises(DecoderError, match="cannot be started: Too many open files"):
            await asyncio.wait_for(decoders.run(digest, b"x"), 10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await decoders.run(digest, b"x") == digest(b"x")


async def test_a_picture_that_takes_for_ever_is_refused(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gleanset.decoders._LONGEST", 1)
    forever_, *others = await asyncio.gather(
        decoders.run(forever, b""), *(decoders.run(digest, b"%d" % n) for n in range(10)), return_exceptions=True
    )
    assert isinstance(forever_, ImageRefused)
    assert "took too long" in forever_.detail
    assert others == [digest(b"%d" % n) for n in range(10)]


async def test_who_still_waits_when_they_are_closed_is_cancelled(decoders: Decoders) -> None:
    tasks = [asyncio.create_task(decoders.run(process, b"")) for _ in range(5 * AHEAD)]
    await asyncio.sleep(0.05)
    decoders.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    with pytest.raises(DecoderError, match="closed"):
        await decoders.run(digest, b"x")


async def test_who_does_not_wait_any_more_holds_up_nobody(decoders: Decoders) -> None:
    tasks = [asyncio.create_task(decoders.run(process, b"")) for _ in range(5 * AHEAD)]
    await asyncio.sleep(0.05)
    for task in tasks[::2]:
        task.cancel()
    assert await asyncio.gather(*tasks[1::2])
    assert await decoders.run(digest, b"x") == digest(b"x")


async def test_nothing_is_left_of_them() -> None:
    files = len(list(Path("/proc/self/fd").iterdir()))
    decoders = Decoders(2)
    pids = set(await asyncio.gather(*(decoders.run(process, b"") for _ in range(2 * AHEAD))))
    decoders.close()
    assert not any(is_there(pid) for pid in pids)
    assert len(list(Path("/proc/self/fd").iterdir())) == files


_WORKER = """
import asyncio
from gleanset.decoders import Decoders
from tests.engine.decoding import process

async def main():
    decoders = Decoders(2)
    print(*set(await asyncio.gather(*(decoders.run(process, b"") for _ in range(16)))), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_none_outlives_a_worker_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _WORKER], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pids = [int(pid) for pid in worker.stdout.readline().split()]
        assert len(pids) == 2
        worker.kill()
    deadline = time.monotonic() + 10
    while any(is_there(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_there(pid) for pid in pids)


class Large:
    """Work of a megabyte, and an answer as large."""

    def __init__(self) -> None:
        self.data = random.Random(2).randbytes(1_000_000)

    def __call__(self, body: bytes) -> bytes:
        return self.data + body


async def test_the_loop_never_waits_for_a_decoder_that_stands_still() -> None:
    with closing(Decoders(1)) as decoders:
        await decoders.run(digest, b"")
        [decoder] = decoders._decoders  # pyright: ignore[reportPrivateUsage]
        process = decoder._process.pid  # pyright: ignore[reportPrivateUsage]
        os.kill(process, signal.SIGSTOP)
        work = [asyncio.create_task(decoders.run(Large(), b"%d" % n)) for n in range(12)]
        began = time.monotonic()
        await asyncio.sleep(0.3)
        assert time.monotonic() - began < 2
        assert not any(each.done() for each in work)
        os.kill(process, signal.SIGCONT)
        answers = await asyncio.gather(*work)
        assert [answer[1_000_000:] for answer in answers] == [b"%d" % n for n in range(12)]


async def test_an_answer_that_cannot_be_taken_is_told(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: object) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patched:
        patched.setattr("gleanset.decoders.unpacked", none)
        with pytest.raises(DecoderError, match="no room"):
            await asyncio.wait_for(decoders.run(Large(), b""), 20)
    assert await decoders.run(digest, b"x") == digest(b"x")


KILLED = """
import asyncio, os, signal, sys
from gleanset.copying import Copies, Copy
from gleanset.decoders import Decoders

async def main():
    decoders = Decoders(1)
    await decoders.run(len, b"")
    child = decoders._decoders[0]._process.pid
    os.kill(child, signal.SIGSTOP)
    for n in range(4):
        asyncio.ensure_future(decoders.run(Copies([Copy(f"{sys.argv[1]}/{n}", 0, [b"late"], new=True)]), b""))
    await asyncio.sleep(0.2)
    print(child, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_whose_worker_was_killed_begins_nothing_more(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        worker.kill()
    os.kill(child, signal.SIGCONT)
    for _ in range(200):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            break
        time.sleep(0.05)
    else:
        pytest.fail("it goes on")
    assert list(tmp_path.iterdir()) == []
