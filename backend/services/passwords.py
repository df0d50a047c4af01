"""Passwords as argon2 hashes. Hashing takes a tenth of a second of a core and 64 MiB: two at a time, in threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from backend.errors import BadInput

SHORTEST, LONGEST = 10, 200
_HASHER = PasswordHash((Argon2Hasher(),))
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="argon2")


def check_new(password: str, email: str) -> None:
    """Length is what makes a password good. Raises BadInput with what is wrong."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadInput(
            f"A password has {SHORTEST} to {LONGEST} characters; three words that do not belong together do.",
            field="new",
        )
    if password.casefold() in {email.casefold(), email.partition("@")[0].casefold()} or len(set(password)) < 5:
        raise BadInput("This password is too easy to guess.", field="new")


async def hashed(password: str) -> str:
    """What the database keeps of it."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _hash, password)


async def matches(password: str, kept: str | None) -> bool:
    """Whether it is the password. It takes as long when there is none, so that the time tells nothing."""
    run = asyncio.get_running_loop().run_in_executor
    return await run(_THREADS, _verify, password[: LONGEST + 1], kept)


def _hash(password: str) -> str:
    return _HASHER.hash(password.encode(errors="replace"))


def _verify(password: str, kept: str | None) -> bool:
    try:
        return _HASHER.verify(password.encode(errors="replace"), kept or _nobodys()) and kept is not None
    except UnknownHashError:
        return False


@cache
def _nobodys() -> str:
    return _HASHER.hash("a password that nobody has")
