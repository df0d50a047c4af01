"""Lists that people send with a form."""

from __future__ import annotations

import asyncio

from starlette.datastructures import UploadFile

from backend.http.service import Service
from backend.schemas.lists import ListResponse
from backend.services.access import Actor
from backend.services.activity import note
from backend.services.lists import keep_list


async def kept_list(service: Service, actor: Actor, file: UploadFile) -> ListResponse:
    """The list, kept and noted in a transaction of its own: it may take long. Raises SourceError, StoreError."""
    settings = service.settings
    kept = await asyncio.to_thread(
        keep_list, file.filename or "list", file.file, service.store, settings.home / "tmp", settings.max_upload_bytes
    )
    async with service.database.transaction() as session:
        told = kept.model_dump(include={"key", "name", "rows"})
        note(session, actor.user_id, "list.uploaded", "lists", (None, "kept"), **told)
    return kept
