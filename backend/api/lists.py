"""Lists of image URLs, uploaded for crawl jobs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile

from backend.errors import BadInput
from backend.http.access import Writer
from backend.http.service import CurrentService, Session, release
from backend.http.uploads import kept_list
from backend.schemas.lists import ListResponse
from gleanset.errors import SourceError

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
    async with request.form(max_files=1, max_fields=4) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadInput(
                "body.file: Send the list as a file in the field `file` of a form.", fields={"body.file": "missing"}
            )
        try:
            return await kept_list(service, actor, file)
        except SourceError as error:
            raise BadInput(str(error), field="file") from error
