"""Around whatever tells whether a password is right: after so many wrong ones account and address have to wait."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import Request

from backend.errors import NotAllowed, NotLoggedIn
from backend.http.service import Service
from backend.services import throttle


@asynccontextmanager
async def guessing(request: Request, service: Service, email: str) -> AsyncGenerator[None]:
    """The block raises NotLoggedIn or NotAllowed for a wrong password. Raises TooMany when there were too many before.

    That the attempt counts is committed before the block, so that neither a roll-back nor a hundred at once undo it.
    """
    settings = service.settings
    limits = throttle.Limits(settings.failures_per_account, settings.failures_per_address)
    address = request.client.host if request.client else "nowhere"
    async with service.database.transaction() as session:
        attempt = await throttle.begin(session, email, address, limits)
    try:
        yield
    except (NotLoggedIn, NotAllowed):
        raise
    except BaseException:
        async with service.database.transaction() as session:
            await throttle.withdraw(session, attempt)
        raise
    async with service.database.transaction() as session:
        await throttle.forgive(session, attempt)
