"""A team's Gleanset: people with passwords."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select

from backend.models import ActivityLog, Profile
from backend.models.enums import Role
from backend.services import accounts
from tests.serving import Served

PASSWORD = "rather unlikely words"


def member(served: Served, role: Role = Role.USER) -> tuple[UUID, str]:
    """Somebody new with that password: id and e-mail."""
    user_id = served.person(role)

    async def make(session: Any) -> str:
        person = await session.get_one(Profile, user_id)
        await accounts.set_password(session, person, PASSWORD, None)
        return person.email

    return user_id, served.run(make)


def log_in(client: httpx.Client, email: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    return client.post("/login", data={"email": email, "password": password} | more)


def actions(served: Served, resource_id: object) -> list[str]:
    """What the log says was done to it, in order."""

    async def read(session: Any) -> list[str]:
        query = select(ActivityLog.action).filter_by(resource_id=str(resource_id)).order_by(ActivityLog.id)
        return list(await session.scalars(query))

    return served.run(read)
