"""For those who run the service: whether it lives, whether it can work, and its figures."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from backend.db import Database, wanted_revision
from backend.http.access import Allow, public
from backend.http.service import CurrentService, Session
from backend.models.enums import Role
from backend.services.access import Actor, Scope
from backend.services.figures import figures
from gleanset.errors import StoreError
from gleanset.store import Store, blob_key

router = APIRouter(tags=["operation"])
log = structlog.get_logger(__name__)

_PATIENCE = 3.0
_NO_BLOB = blob_key("0" * 64, "jpeg")

AdminReader = Annotated[Actor, Depends(Allow(Scope.READ, Role.ADMIN))]


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """`ok`, or in a few words what is wrong; the log has the details."""

    database: str
    migration: str
    store: str


@router.get("/health/live", dependencies=[Depends(public)])
async def live() -> Alive:
    """The process answers. A supervisor that gets no answer starts it again."""
    return Alive()


@router.get("/health/ready", dependencies=[Depends(public)], responses={503: {"model": Readiness}})
async def ready(service: CurrentService, response: Response) -> Readiness:
    """It can do its work. A load balancer that gets 503 sends requests elsewhere."""
    (database, migration), store = await asyncio.gather(_database(service.database), _store(service.store))
    if {database, migration, store} != {"ok"}:
        response.status_code = 503
    return Readiness(database=database, migration=migration, store=store)


async def _database(database: Database) -> tuple[str, str]:
    try:
        async with asyncio.timeout(_PATIENCE), database.transaction() as session:
            found = await session.scalar(text("SELECT version_num FROM alembic_version"))
    except (SQLAlchemyError, TimeoutError, OSError) as error:
        log.warning("the database is not ready", error=str(error).strip())
        return "does not answer", "unknown"
    return "ok", "ok" if found == wanted_revision() else f"at {found}, not {wanted_revision()}"


async def _store(store: Store) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            await store.modified(_NO_BLOB)
    except (StoreError, TimeoutError) as error:
        log.warning("the image store is not ready", error=str(error))
        return "does not answer"
    if store.folder is not None and not os.access(store.folder, os.W_OK | os.X_OK):
        return "cannot be written to"
    return "ok"


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(service: CurrentService, session: Session, _: AdminReader) -> Response:
    """For Prometheus, with an admin's API key; the scope `read` is enough."""
    now = await figures(session, dead_after=5 * service.settings.heartbeat)
    return Response(service.metrics.exposition(now, service.events.followers), media_type=CONTENT_TYPE_LATEST)
