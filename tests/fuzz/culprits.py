"""Targets that misbehave at one seed each: what a fuzzer must see."""

from __future__ import annotations

import ctypes
import time


def crash(seed: int) -> str:
    if seed == 3:
        ctypes.string_at(0)
    return "fine"


def hang(seed: int) -> str:
    if seed == 3:
        time.sleep(600)
    return "fine"


def swell(seed: int) -> str:
    if seed == 3:
        bytearray(400_000_000)[::4096] = b"x" * len(range(0, 400_000_000, 4096))
    return "fine"


def overreach(seed: int) -> str:
    if seed == 3:
        bytearray(5 << 30)
    return "fine"


def dawdle(seed: int) -> str:
    end = time.thread_time() + (0.3 if seed == 3 else 0)
    while time.thread_time() < end:
        pass
    return "fine"


def raises(seed: int) -> str:
    if seed == 3:
        raise LookupError("not one of ours")
    return "fine"
