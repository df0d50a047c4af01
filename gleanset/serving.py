"""What the processes of `gleanset.decoders` do. It imports next to nothing: they are there at once."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from gleanset.copying import write_at

NOT_THEIRS = (signal.SIGINT, signal.SIGTERM)
"""Meant for the worker, which ends its decoders itself."""
PIECE = 1 << 16

_LARGE = 1 << 10
"""Bytes of an answer above which it does not go through the socket, where neither side may ever have to wait for the
other to read: some systems have room there for 8,192."""

_worker = _longest = 0

Work = Callable[[bytes], Any]


def packed(message: Any) -> bytes:
    """For `unpacked`."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def unpacked(data: bytes | memoryview) -> Any:
    """What a process of ours has packed."""
    return pickle.loads(data)  # noqa: S301 - from our own process


def framed(message: Any) -> bytes:
    """For a socket."""
    return _frame(packed(message))


def _frame(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def unframed(came: bytearray) -> list[Any]:
    """The whole messages in it, which are taken out."""
    messages: list[Any] = []
    at = 0
    while len(came) - at >= 4 and len(came) - at - 4 >= (size := int.from_bytes(came[at : at + 4], "big")):
        messages.append(unpacked(memoryview(came)[at + 4 : at + 4 + size]))
        at += 4 + size
    del came[:at]
    return messages


def serve(passed: tuple[int, ...], longest: int, prepare: str | None) -> NoReturn:
    """What a decoder does: the descriptors are those of its socket and of the files in memory. longest: seconds for one
    picture. prepare: a function, as `module:name`.

    A message says how many bytes of the next file in memory are a picture's, and how many behind them the work.
    """
    global _worker, _longest
    _worker, _longest = os.getppid(), longest
    for each in NOT_THEIRS:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_THEIRS)
    if prepare is not None:
        module, _, name = prepare.partition(":")
        getattr(import_module(module), name)()
    channel, slots = socket.socket(fileno=passed[0]), passed[1:]
    came, number = bytearray(), 0
    with suppress(ConnectionError):  # the worker is gone
        channel.sendall(framed(None))
        while data := channel.recv(PIECE):
            came += data
            for body, work in unframed(came):
                end_without_worker()
                begin_a_picture()
                answer = _answer(slots[number % len(slots)], body, work)
                signal.alarm(0)
                number += 1
                channel.sendall(answer)
    os._exit(0)  # at once: there is nothing that Python would have to put in order, and somebody waits


def begin_a_picture() -> None:
    """Its time begins, for work that has many; what takes longer ends the process, whatever library that is in."""
    signal.alarm(_longest)


def end_without_worker() -> None:
    """When it was killed, another may be about to do the same in the same place."""
    if _worker and os.getppid() != _worker:
        os._exit(1)


def _answer(slot: int, body: int, work: int) -> bytes:
    """What came of it, framed. What is large goes into the file in memory, and its size is the answer."""
    try:
        do: Work = unpacked(os.pread(slot, work, body))
        answer = packed((True, do(os.pread(slot, body, 0))))
    except Exception as error:
        answer = _failure(error)
    if len(answer) <= _LARGE:
        return _frame(answer)
    write_at(slot, [answer], 0)
    return framed(len(answer))


def _failure(error: Exception) -> bytes:
    """The error, by its name when it cannot be packed, or not be made again from that."""
    with suppress(Exception):
        answer = packed((False, error))
        unpacked(answer)
        return answer
    from gleanset.errors import DecoderError

    return packed((False, DecoderError(f"{type(error).__name__}: {error}")))
