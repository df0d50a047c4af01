"""What the web process holds from its start to its end; `create_app` makes it, requests find it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from backend.config import Settings
from backend.db import Database
from backend.errors import BadInput
from backend.http.events import Events
from backend.http.metrics import Metrics
from backend.http.oidc import Provider
from backend.schemas.crawl_jobs import Keywords
from backend.schemas.plans import CrawlPlan
from backend.schemas.previews import PreviewResponse
from backend.services.thumbnails import Thumbnails
from gleanset.store import Store

_KEY_BYTES = 32


class Preview(Protocol):
    """A first look at what a crawl would find; it has the fetcher, which the API must not know."""

    async def __call__(self, keywords: Keywords, plan: CrawlPlan, limit: int) -> PreviewResponse: ...


@dataclass(frozen=True, slots=True)
class Service:
    """secret: 32 bytes that sign links, the same in all web processes. provider: whose tokens count beside API keys."""

    settings: Settings
    database: Database
    store: Store
    secret: bytes
    events: Events
    thumbnails: Thumbnails
    metrics: Metrics
    preview: Preview
    provider: Provider | None


def service_of(request: Request) -> Service:
    """The service that the request came to."""
    return cast("Service", request.app.state.service)


async def _current(request: Request) -> Service:
    """As a coroutine: FastAPI runs functions in threads, which costs each request more than all that is asked here."""
    return service_of(request)


CurrentService = Annotated[Service, Depends(_current)]


async def _transaction(service: CurrentService) -> AsyncGenerator[AsyncSession]:
    async with service.database.transaction() as session:
        yield session


# Of function scope: committed before the answer goes out, so that a failed commit does not look like success.
Session = Annotated[AsyncSession, Depends(_transaction, scope="function")]
"""A transaction that is committed when the endpoint returns, and rolled back when it raises."""


async def release(session: AsyncSession) -> None:
    """End the request's transaction before long work: the server ends those that nothing happens in."""
    await session.commit()


def load_secret(settings: Settings) -> bytes:
    """The signing key: that of the setting, or one that is made once and lies in the data folder.

    Raises BadInput when the file in the data folder is not whole.
    """
    if settings.secret_key:
        return settings.secret_key.get_secret_value().encode()
    file = settings.home / "secret"
    if not file.exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        # Whole or not there: another process that starts meanwhile must not read half a key.
        handle, name = tempfile.mkstemp(prefix=".secret-", dir=settings.home)
        with os.fdopen(handle, "wb") as new:
            new.write(secrets.token_bytes(_KEY_BYTES))
        with suppress(FileExistsError):
            file.hardlink_to(name)
        Path(name).unlink()
    key = file.read_bytes()
    if len(key) < _KEY_BYTES:
        raise BadInput(f"The key in {file} is not whole. Remove the file: a new one is made, and old links end.")
    return key
