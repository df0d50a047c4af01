"""Stored files as answers: named by their hash, so a browser keeps them for good, and may ask for a part."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fastapi import HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from backend.errors import NotFound
from gleanset.store import Store

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

FILE_HEADERS = {
    "Cache-Control": "private, max-age=31536000, immutable",
    # Whatever a browser takes the bytes for, nothing in them runs or loads anything.
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


def not_modified(request: Request, etag: str) -> Response | None:
    """The answer to somebody who has this file already."""
    given = [word.strip().removeprefix("W/") for word in request.headers.get("If-None-Match", "").split(",")]
    return Response(status_code=304, headers=FILE_HEADERS | {"ETag": etag}) if etag in given or "*" in given else None


async def blob_answer(request: Request, store: Store, key: str, etag: str, media_type: str) -> Response:
    """The blob, or the part of it that the request's Range asks for. Raises NotFound, or StoreError."""
    unchanged = not_modified(request, etag)
    if unchanged is not None:
        return unchanged
    asked = request.headers.get("Range", "")
    part = None
    if asked and request.headers.get("If-Range", etag) == etag:
        size = await store.length(key)
        part = None if size is None else part_of(asked, size)
    found = await store.stream(key, part)
    if found is None:
        raise NotFound("The file is gone from the image store; `gleanset db doctor` tells more.")
    headers: Mapping[str, str] = FILE_HEADERS | {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Length": str(found.stop - found.start),
        "Content-Disposition": f'inline; filename="{key.rpartition("/")[2]}"',
    }
    if part is None:
        return StreamingResponse(found.blocks, 200, headers, media_type)
    headers |= {"Content-Range": f"bytes {found.start}-{found.stop - 1}/{found.size}"}
    return StreamingResponse(found.blocks, 206, headers, media_type)


def part_of(asked: str, size: int) -> tuple[int, int] | None:
    """From where to before where; None for ranges that RFC 9110 lets a server ignore, such as several at once.

    Raises HTTPException for a part that the file does not have.
    """
    match = _RANGE.fullmatch(asked.strip())
    first, last = match.groups() if match else ("", "")
    if first and last and int(last) < int(first):
        return None
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    elif last:
        start, stop = max(0, size - int(last)), size
    else:
        return None
    if start >= size or start == stop:
        raise HTTPException(416, "The file has no such part.", {"Content-Range": f"bytes */{size}"})
    return start, stop
