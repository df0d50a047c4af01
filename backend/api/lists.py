"""Lists of image URLs, uploaded for crawl jobs."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile

from backend.errors import BadInput
from backend.http.access import Writer
from backend.http.service import CurrentService, Session, release
from backend.models import ActivityLog
from backend.schemas.lists import ListResponse
from backend.services.lists import keep_list

router = APIRouter(prefix="/lists", tags=["crawl jobs"])

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


# The form is read here and not by FastAPI, which would do it before it is known who sends it.
@router.post("", status_code=201, openapi_extra=_FORM)
async def upload_list(request: Request, service: CurrentService, session: Session, actor: Writer) -> ListResponse:
    """A list as txt, csv, tsv, jsonl or parquet, also with .gz, in the field `file`: its name tells the format."""
    await release(session)
    settings = service.settings
    async with request.form(max_files=1, max_fields=4) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadInput(
                "body.file: Send the list as a file in the field `file` of a form.", fields={"body.file": "missing"}
            )
        name = file.filename or "list"
        kept = await asyncio.to_thread(
            keep_list, name, file.file, service.store, settings.home / "tmp", settings.max_upload_bytes
        )
    async with service.database.transaction() as session:
        told = kept.model_dump(include={"key", "name", "rows"})
        session.add(ActivityLog(user_id=actor.user_id, action="list.uploaded", resource_type="lists", metadata_=told))
    return kept
