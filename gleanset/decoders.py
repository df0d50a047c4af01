"""Processes that decode pictures and copy files, beside the event loop of a worker.

Threads would decode without Python's lock, but they take it a dozen times for every picture, and so does the loop: a
quarter of both cores was spent waiting for it. And what strangers send goes through libraries in C: when one of them
crashes, it is the decoder that is gone, and not the worker.

The bytes of a picture, and what is to be done with them, pickled, go to a decoder through files in memory, one for
each piece of work that may be on its way to it; what came of it comes back in the same way when it is large. Through a
socket go only sizes and small answers, so neither side ever waits for the other. A decoder ends when the socket does,
or over a picture that takes for ever, so none outlives a worker that was killed for long.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, TypeVar, cast

from gleanset.copying import write_at
from gleanset.errors import DecoderError, ImageRefused
from gleanset.serving import NOT_THEIRS, PIECE, Work, framed, packed, unframed, unpacked
from gleanset.types import Reason

AHEAD = 4
"""Pictures that one decoder has, the one in hand with them: enough for the loop to be busy with something else."""
_LARGE = 1 << 20
"""Bytes above which a file in memory is emptied after use."""
_PATIENCE = 2.0
"""Seconds in which decoders that are no longer wanted may end what they have in hand."""
_LONGEST = 120
"""Seconds for one picture, after which a decoder ends as if it had crashed: a hundred million pixels take a few."""
_PAUSE = 1.0
"""Seconds before another try to start one, while others run."""
DECODING = "gleanset.keep:alone"
"""What a process does that is to decode pictures, before the first one comes."""

Result = TypeVar("Result")


class _Item:
    """A picture on its way. `crashes`: how many decoders have crashed with it in hand."""

    def __init__(self, work: Work, body: bytes, future: asyncio.Future[Any]) -> None:
        self.work, self.body, self.future = work, body, future
        self.crashes = 0

    def fail(self, error: Exception) -> None:
        if not self.future.done():  # or else cancelled meanwhile
            self.future.set_exception(error)


class Decoders:
    """So many processes, for one event loop, which start with the first picture unless they were started before. Close
    them when the work is done."""

    def __init__(self, count: int, prepare: str | None = DECODING) -> None:
        self._count, self._prepare = count, prepare
        self._waiting: deque[_Item] = deque()
        self._decoders: list[_Decoder] = []
        self._not_before = 0.0
        self._closed = False
        self.alone = asyncio.Lock()
        """For whoever gives them what takes much memory."""

    def start(self) -> None:
        """Have them all running, or under way. Raises DecoderError when not one can be had."""
        if self._closed:
            raise DecoderError("The decoders of this worker are closed.")
        while len(self._decoders) < self._count and not (self._decoders and time.monotonic() < self._not_before):
            try:
                self._decoders.append(_Decoder(self._serve, self._lost, self._prepare))
            except DecoderError:
                if not self._decoders:
                    raise
                self._not_before = time.monotonic() + _PAUSE

    async def run(self, work: Callable[[bytes], Result], body: bytes) -> Result:
        """`work(body)`, done by one of the processes; `work`, and what it gives or raises, are pickled.

        Raises what it raises; ImageRefused for bytes with which two decoders have crashed; DecoderError when none
        can be started.
        """
        self.start()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Item(work, body, future))
        self._feed()
        return await future

    def close(self) -> None:
        """End the processes; who still waits is cancelled."""
        self._closed = True
        decoders, self._decoders = self._decoders, []
        for decoder in decoders:
            decoder.leave()
        for item in (*(item for decoder in decoders for item in decoder.items), *self._waiting):
            if not item.future.get_loop().is_closed():
                item.future.cancel()
        self._waiting.clear()
        deadline = time.monotonic() + _PATIENCE
        for decoder in decoders:
            decoder.end(deadline)

    def _serve(self, item: _Item, answer: tuple[bool, Any]) -> None:
        sound, value = answer
        if not sound:
            item.fail(value)
        elif not item.future.done():
            item.future.set_result(value)
        self._feed()

    def _feed(self) -> None:
        """Give what waits to whoever has the least to do."""
        while self._waiting and self._decoders:
            decoder = min(self._decoders, key=lambda each: len(each.items))
            if len(decoder.items) >= AHEAD:
                return
            item = self._waiting.popleft()
            if not item.future.done():
                decoder.give(item)

    def _lost(self, decoder: _Decoder) -> None:
        """A decoder has crashed, most likely over what it had in hand: that gets another chance, and then none."""
        code = decoder.end(time.monotonic() + _PATIENCE)
        self._decoders.remove(decoder)
        if decoder.items and not decoder.is_new:
            decoder.items[0].crashes += 1
            if decoder.items[0].crashes > 1:
                refusal = ImageRefused(Reason.DAMAGED, f"The decoder crashed over it{_why(code)}.")
                decoder.items.popleft().fail(refusal)
        self._waiting.extendleft(reversed(decoder.items))
        error = DecoderError(f"A process that decodes images ended with code {code} as soon as it was started.")
        if decoder.is_new:
            self._not_before = time.monotonic() + _PAUSE
        try:
            if self._waiting and not (decoder.is_new and not self._decoders):
                self.start()
        except DecoderError as failure:
            error = failure
        while self._waiting and not self._decoders:
            self._waiting.popleft().fail(error)
        self._feed()


def _why(code: int) -> str:
    """What the exit code of a process tells."""
    told = {-signal.SIGKILL: "it was killed, most likely for want of memory", -signal.SIGALRM: "it took too long"}
    return f": {told[code]}" if code in told else f", with code {code}"


class _Decoder:
    """One of the processes, and what it was given, the one in hand first. `is_new`: it has not shown itself yet."""

    def __init__(
        self, serve: Callable[[_Item, Any], None], lost: Callable[[_Decoder], None], prepare: str | None
    ) -> None:
        self.items: deque[_Item] = deque()
        self.is_new = True
        self._served, self._lost = serve, lost
        self._given = 0
        self._came = bytearray()
        self._room = bytearray(_LARGE)  # for answers: clearing memory for each would cost more than reading it
        self._loop = asyncio.get_running_loop()
        with ExitStack() as opened:
            try:
                self._slots = [_file_in_memory(opened) for _ in range(AHEAD)]
                self._socket, theirs = map(opened.enter_context, socket.socketpair())
                self._process = _started((theirs.fileno(), *self._slots), prepare)
            except OSError as error:
                raise DecoderError(
                    f"A process of Gleanset that decodes and copies images cannot be started: {error.strerror}."
                ) from error
            theirs.close()
            self._opened = opened.pop_all()
        self._loop.add_reader(self._socket, self._read)

    def give(self, item: _Item) -> None:
        """Send it there. What cannot be sent is nobody else's trouble, and fails at once."""
        try:
            work = packed(item.work)
            write_at(self._slots[self._given % AHEAD], [item.body, work], 0)
        except Exception as error:
            item.fail(DecoderError(f"A picture cannot be given to the process that decodes it: {error}"))
            return
        self._given += 1
        self.items.append(item)
        with suppress(BrokenPipeError, ConnectionResetError):  # it has crashed, as the reader is about to find out
            self._socket.sendall(framed((len(item.body), len(work))))

    def _read(self) -> None:
        try:
            came = self._socket.recv(PIECE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionError:
            came = b""
        if not came:
            self._lost(self)
            return
        self._came += came
        for answer in unframed(self._came):
            if self.is_new:
                self.is_new = False
                continue
            item = self.items.popleft()
            try:
                taken = self._taken(item, answer)
            except Exception as error:
                taken = False, DecoderError(f"What a process that decodes images has answered cannot be had: {error}")
            self._served(item, taken)

    def _taken(self, item: _Item, answer: int | tuple[bool, Any]) -> tuple[bool, Any]:
        """The answer, which is in the item's file in memory when only its size came."""
        slot, size = self._slots[(self._given - len(self.items) - 1) % AHEAD], 0
        if isinstance(answer, int):
            size, room = answer, self._room if answer <= _LARGE else bytearray(answer)
            os.preadv(slot, [room], 0)
            answer = cast("tuple[bool, Any]", unpacked(memoryview(room)[:size]))
        if max(size, len(item.body)) > _LARGE:
            os.ftruncate(slot, 0)
        return answer

    def leave(self) -> None:
        """Tell it that nothing more will come."""
        self._loop.remove_reader(self._socket)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self, deadline: float) -> int:
        """Its exit code; killed when it is still there at the deadline, in monotonic time."""
        self._loop.remove_reader(self._socket)
        with self._opened:
            try:
                return self._process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._process.kill()
                return self._process.wait()


def _file_in_memory(opened: ExitStack) -> int:
    """A descriptor, of a file without a name."""
    if sys.platform == "linux":
        file = os.memfd_create("gleanset", os.MFD_CLOEXEC)
        opened.callback(os.close, file)
        return file
    return opened.enter_context(tempfile.TemporaryFile()).fileno()


def _started(passed: tuple[int, ...], prepare: str | None) -> subprocess.Popen[bytes]:
    # Not `-m`: that would put the current folder first, and import whatever lies there.
    code = (
        f"import sys; sys.path[:] = {sys.path!r};"
        f" from gleanset.serving import serve; serve({passed!r}, {_LONGEST}, {prepare!r})"
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, NOT_THEIRS)  # until it is far enough to ignore them
    try:
        return subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=passed,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # numpy's threads spin at first, and have nothing to do
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
