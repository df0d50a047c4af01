"""Processes that decode pictures, beside the event loop that fetches them.

Threads would decode without Python's lock, but they take it a dozen times for every picture, and so does the loop: a
quarter of both cores was spent waiting for it. And what strangers send goes through libraries in C: when one of them
crashes, it is the decoder that is gone, and not the worker.

Bytes go to a decoder through files in memory, one for each picture that may be on its way to it; what is to be done
with them, and what came of it, goes through a socket, pickled. A decoder ends when the socket does, so none outlives a
worker that was killed.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

from gleanset.errors import DecoderError, ImageRefused
from gleanset.types import Reason

AHEAD = 4
"""Pictures that one decoder has, the one in hand with them: enough for the loop to be busy with something else."""
_LARGE = 1 << 20
"""Bytes above which a file in memory is emptied after use."""
_PATIENCE = 2.0
"""Seconds in which a decoder that is no longer wanted may end what it has in hand."""
_PIECE = 1 << 16

Result = TypeVar("Result")
Work = Callable[[bytes], Any]


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

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: deque[_Item] = deque()
        self._decoders: list[_Decoder] = []

    def start(self) -> None:
        """Have them all running, or under way. Raises DecoderError."""
        while len(self._decoders) < self._count:
            self._decoders.append(_Decoder(self._serve, self._lost))

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
        """End the processes; who still waits is left waiting."""
        decoders, self._decoders = self._decoders, []
        self._waiting.clear()
        for decoder in decoders:
            decoder.leave()
        for decoder in decoders:
            decoder.end()

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
        code = decoder.end()
        self._decoders.remove(decoder)
        if decoder.items and not decoder.is_new:
            decoder.items[0].crashes += 1
            if decoder.items[0].crashes > 1:
                refusal = ImageRefused(Reason.DAMAGED, f"The decoder crashed over it, with code {code}.")
                decoder.items.popleft().fail(refusal)
        self._waiting.extendleft(reversed(decoder.items))
        error = DecoderError(f"A process that decodes images ended with code {code} as soon as it was started.")
        if not decoder.is_new:
            try:
                self._decoders.append(_Decoder(self._serve, self._lost))
            except DecoderError as failure:
                error = failure
        while self._waiting and not self._decoders:
            self._waiting.popleft().fail(error)
        self._feed()


class _Decoder:
    """One of the processes, and what it was given, the one in hand first. `is_new`: it has not shown itself yet."""

    def __init__(self, serve: Callable[[_Item, Any], None], lost: Callable[[_Decoder], None]) -> None:
        self.items: deque[_Item] = deque()
        self.is_new = True
        self._served, self._lost = serve, lost
        self._slots = [_file_in_memory() for _ in range(AHEAD)]
        self._given = 0
        self._came = bytearray()
        self._socket, theirs = socket.socketpair()
        self._loop = asyncio.get_running_loop()
        passed = (theirs.fileno(), *self._slots)
        # Not `-m`: that would put the current folder first, and import whatever lies there.
        code = f"import sys; sys.path[:] = {sys.path!r}; from gleanset.decoders import serve; serve({passed!r})"
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - ourselves
                    [sys.executable, "-P", "-c", code], stdin=subprocess.DEVNULL, pass_fds=passed
                )
            except OSError as error:
                self._let_go()
                raise DecoderError(f"A process that decodes images cannot be started: {error.strerror}.") from error
        self._loop.add_reader(self._socket, self._read)

    def give(self, item: _Item) -> None:
        slot = self._slots[self._given % AHEAD]
        self._given += 1
        self.items.append(item)
        at = 0
        while at < len(item.body):
            at += os.pwrite(slot, memoryview(item.body)[at:], at)
        with suppress(BrokenPipeError, ConnectionResetError):  # it has crashed, as the reader is about to find out
            self._socket.sendall(_framed((item.work, len(item.body))))

    def _read(self) -> None:
        try:
            came = self._socket.recv(_PIECE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionError:
            came = b""
        if not came:
            self._lost(self)
            return
        self._came += came
        for answer in _unframed(self._came):
            if self.is_new:
                self.is_new = False
                continue
            item = self.items.popleft()
            if len(item.body) > _LARGE:
                os.ftruncate(self._slots[(self._given - len(self.items) - 1) % AHEAD], 0)
            self._served(item, answer)

    def leave(self) -> None:
        """Tell it that nothing more will come."""
        self._loop.remove_reader(self._socket)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> int:
        """Its exit code."""
        self._loop.remove_reader(self._socket)
        try:
            return self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._socket.close()
        for slot in self._slots:
            os.close(slot)


def _file_in_memory() -> int:
    """A descriptor, of a file without a name."""
    if sys.platform == "linux":
        return os.memfd_create("gleanset", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _framed(message: Any) -> bytes:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(4, "big") + data


def _unframed(came: bytearray) -> list[Any]:
    """The whole messages in it, which are taken out."""
    messages: list[Any] = []
    at = 0
    while len(came) - at >= 4 and len(came) - at - 4 >= (size := int.from_bytes(came[at : at + 4], "big")):
        messages.append(pickle.loads(memoryview(came)[at + 4 : at + 4 + size]))  # noqa: S301 - from our own process
        at += 4 + size
    del came[:at]
    return messages


def serve(passed: tuple[int, ...]) -> NoReturn:
    """What a decoder does: the descriptors are those of its socket and of the files in memory."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which ends its decoders itself
        signal.signal(ending, signal.SIG_IGN)
    import gleanset.keep as keep  # with all libraries for decoding, before the first picture comes

    keep.alone()
    channel, slots = socket.socket(fileno=passed[0]), passed[1:]
    came, number = bytearray(), 0
    with suppress(ConnectionError):  # the worker is gone
        channel.sendall(_framed(None))
        while data := channel.recv(_PIECE):
            came += data
            for work, size in _unframed(came):
                body = os.pread(slots[number % len(slots)], size, 0)
                number += 1
                channel.sendall(_framed(_done(work, body)))
    sys.exit()


def _done(work: Work, body: bytes) -> tuple[bool, Any]:
    try:
        return True, work(body)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        except Exception:
            return False, DecoderError(f"{type(error).__name__}: {error}")
        return False, error
