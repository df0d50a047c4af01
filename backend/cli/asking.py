"""What commands hand to services, and where they look for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.config import get_settings
from backend.db import Database
from backend.errors import BadInput
from backend.schemas.base import Request

Answer = TypeVar("Answer")
AnyRequest = TypeVar("AnyRequest", bound=Request)


def asked(kind: type[AnyRequest], **given: Any) -> AnyRequest:
    """The request as the API takes it. Raises BadInput, which names what is wrong first."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = " ".join(str(part) for part in first["loc"]).replace("_", " ")
        raise BadInput(f"The {field}: {first['msg'].removeprefix('Value error, ').rstrip('.')}.") from error


def in_transaction(work: Callable[[AsyncSession], Awaitable[Answer]]) -> Answer:
    """What comes of the work, which is kept when it succeeds."""

    async def run() -> Answer:
        async with (
            await asyncio.to_thread(Database.ready, get_settings()) as database,
            database.transaction() as session,
        ):
            return await work(session)

    return asyncio.run(run())
