"""A team's Gleanset: people with passwords."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Event
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import httpx
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import select

from backend.models import ActivityLog, Profile
from backend.models.enums import Role
from backend.services import accounts, passwords
from tests.serving import Served

PASSWORD = "rather unlikely words"


@cache
def cheap_hash(password: str) -> str:
    """A good hash that takes a millisecond to make and to check, and not a tenth of a second, as those of people do."""
    return PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64),)).hash(password)


def member(served: Served, role: Role = Role.USER, *, cheap: bool = True) -> tuple[UUID, str]:
    """Somebody new with that password: id and e-mail. Not `cheap`: hashed as those of people are."""
    user_id = served.person(role)

    async def make(session: Any) -> str:
        person = await session.get_one(Profile, user_id)
        hashed = cheap_hash(PASSWORD) if cheap else await passwords.hashed(PASSWORD)
        await accounts.set_password(session, person, hashed, None)
        return person.email

    return user_id, served.run(make)


@contextmanager
def no_hashing() -> Iterator[Callable[[int], None]]:
    """Nobody's turn at hashing comes until the end of the block; what it gives waits until so many wait for theirs."""
    free = Event()
    held = [passwords._THREADS.submit(free.wait, 60) for _ in range(2)]

    def waiting(count: int) -> None:
        until = monotonic() + 15
        while passwords._THREADS._work_queue.qsize() < count:
            assert monotonic() < until, f"{passwords._THREADS._work_queue.qsize()} wait, not {count}"
            sleep(0.02)

    try:
        yield waiting
    finally:
        free.set()
        assert all(future.result(10) for future in held)


def log_in(client: httpx.Client, email: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    return client.post("/login", data={"email": email, "password": password} | more)


def actions(served: Served, resource_id: object) -> list[str]:
    """What the log says was done to it, in order."""

    async def read(session: Any) -> list[str]:
        query = select(ActivityLog.action).filter_by(resource_id=str(resource_id)).order_by(ActivityLog.id)
        return list(await session.scalars(query))

    return served.run(read)
