"""Files of exports over HTTP, and links that open them for whoever has them, until they expire."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID
from weakref import WeakSet

from fastapi import Depends, Query
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette import types
from starlette.datastructures import Headers

from backend.errors import Gone, NotFound
from backend.http.access import Allow, actor_of
from backend.http.files import part_of
from backend.models import ExportJob
from backend.services.access import Actor, Scope
from backend.services.activity import note
from backend.services.exports import check_there, container_of

Signature = Annotated[str | None, Query(alias="signature", max_length=200)]


class _ReaderOrLink(Allow):
    """A rule: for readers, or for whoever brings a signature, which the endpoint then checks."""

    async def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] - a link is nobody's
        self, actor: Annotated[Actor | None, Depends(actor_of)], signed: Signature = None
    ) -> Actor | None:
        return await super().__call__(actor) if signed is None else None


ReaderOrLink = Annotated[Actor | None, Depends(_ReaderOrLink(Scope.READ))]
LINK_LASTS = timedelta(hours=1)
KINDS = {".zip": "application/zip", ".tar": "application/x-tar", ".gz": "application/gzip", ".zst": "application/zstd"}


class DownloadLink(BaseModel):
    """Whoever has it may download the file until it expires."""

    url: str = Field(description="Path and query on this server.")
    expires_at: datetime


def make_link(session: AsyncSession, secret: bytes, job: ExportJob, user_id: UUID) -> DownloadLink:
    """A link that downloads the file without a login, for an hour. Raises IllegalMove or Gone when there is no file."""
    check_there(job)
    note(session, user_id, "export_job.linked", job, (None, "link"))
    expires = link_expires(job)
    query = f"expires={expires}&signature={signature(secret, job, expires)}"
    url = f"/api/v1/export-jobs/{job.id}/download?{query}"
    return DownloadLink(url=url, expires_at=datetime.fromtimestamp(expires, UTC))


def signature(secret: bytes, job: ExportJob, expires: int) -> str:
    """Proof that this service lets these very bytes be had until `expires` (seconds since 1970)."""
    message = f"export {job.id} {expires} {job.sha256.hex() if job.sha256 else ''}"
    return hmac.new(secret, message.encode(), hashlib.sha256).hexdigest()


def link_expires(job: ExportJob) -> int:
    """In an hour, or when the export does."""
    latest = datetime.now(UTC) + LINK_LASTS
    return int((min(latest, job.expires_at) if job.expires_at else latest).timestamp())


def check_signature(secret: bytes, job: ExportJob, expires: int, given: str) -> None:
    """Raises NotFound for a signature that is not ours, Gone for a link that is too old."""
    if not hmac.compare_digest(signature(secret, job, expires).encode(), given.encode()):
        raise NotFound(f"There is no export job {job.id}.")  # as of one that is not there: links tell nothing
    if expires <= datetime.now(UTC).timestamp():
        raise Gone("This link has expired. Make a new one where the export is shown.")


UNDER_WAY = WeakSet[asyncio.Task[Any]]()
"""Requests that send a file just now: a server that stops gives them longer than others."""


class Download(FileResponse):
    """The file, or one range of it. Several ranges at once, and what is no range, get the whole file."""

    max_ranges = 1
    chunk_size = 256 * 1024

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        if (task := asyncio.current_task()) is not None:
            UNDER_WAY.add(task)
        headers = Headers(scope=scope)
        wanted = [tag.strip().removeprefix("W/") for tag in headers.get("If-None-Match", "").split(",")]
        if self.headers["ETag"] in wanted or "*" in wanted:
            await Response(status_code=304, headers={"ETag": self.headers["ETag"]})(scope, receive, send)
            return
        if not self._has_part(headers):
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
        await super().__call__(scope, receive, send)

    def _has_part(self, headers: Headers) -> bool:
        """Whether a range is asked for, of the file as it is now. Raises HTTPException for one that is not there."""
        if headers.get("If-Range") not in {None, self.headers["ETag"], self.headers["Last-Modified"]}:
            return False
        assert self.stat_result is not None
        return part_of(headers.get("Range", ""), self.stat_result.st_size) is not None


async def download(file: Path, job: ExportJob) -> Download:
    """The answer that sends the export's file. Raises Gone when it is not there."""
    try:
        found = await asyncio.to_thread(file.stat)
    except FileNotFoundError:
        raise Gone("The file of this export is not there any more. Export again.") from None
    tag = job.sha256.hex() if job.sha256 else f"{found.st_mtime_ns:x}-{found.st_size:x}"
    headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
    kind = KINDS.get(file.suffix, "application/octet-stream")
    return Download(file, filename=file_name(job), stat_result=found, headers=headers, media_type=kind)


def file_name(job: ExportJob) -> str:
    """A name that no file system and no header trips over."""
    plain = re.sub(r"[^\w\-]+", "-", unicodedata.normalize("NFC", job.name)).strip("-_")[:60].strip("-_")
    return f"{plain or 'export'}-{job.id}.{container_of(job)}"
